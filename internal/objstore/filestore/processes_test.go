package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

const (
	racersVariable = "ISTHMUS_FILESTORE_RACER" // number:folder, set in the processes of TestProcessesRace
	racedKeys      = 100
)

func TestMain(m *testing.M) {
	if racer := os.Getenv(racersVariable); racer != "" {
		number, dir, _ := strings.Cut(racer, ":")
		if err := race(number, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// race puts every key, and prints those it won. It begins when its standard input is closed.
func race(number, dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	for i := range racedKeys {
		body := [][]byte{[]byte("racer "), []byte(number)}
		switch err := s.PutNew(context.Background(), fmt.Sprintf("race/%d/key", i), body, objstore.Sum(body)); {
		case err == nil:
			fmt.Println(i)
		case !errors.Is(err, objstore.ErrExists):
			return err
		}
	}
	return nil
}

// TestProcessesRace: of several processes that put the same keys in the same folder, which none has made yet,
// exactly one wins each.
func TestProcessesRace(t *testing.T) {
	const racers = 6
	dir := filepath.Join(t.TempDir(), "bucket")
	outputs := make([]bytes.Buffer, racers)
	processes := make([]*exec.Cmd, racers)
	starts := make([]io.Closer, racers)
	for racer := range racers {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s", racersVariable, racer, dir))
		cmd.Stdout, cmd.Stderr = &outputs[racer], os.Stderr
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes[racer], starts[racer] = cmd, stdin
	}
	for _, start := range starts {
		if err := start.Close(); err != nil {
			t.Error(err)
		}
	}
	for racer, cmd := range processes {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("racer %d: %v", racer, err)
		}
	}
	winners := map[int]int{}
	for racer := range racers {
		for won := range strings.FieldsSeq(outputs[racer].String()) {
			key, err := strconv.Atoi(won)
			if err != nil {
				t.Fatalf("racer %d printed %q", racer, won)
			}
			if other, taken := winners[key]; taken {
				t.Errorf("racers %d and %d both won key %d", other, racer, key)
			}
			winners[key] = racer
		}
	}
	s := open(t, dir)
	for key := range racedKeys {
		got, err := s.GetRange(t.Context(), fmt.Sprintf("race/%d/key", key), 0, -1)
		if want := fmt.Sprintf("racer %d", winners[key]); err != nil || string(got) != want {
			t.Errorf("key %d: holds %q (%v), won by %q", key, got, err, want)
		}
	}
	if len(winners) != racedKeys {
		t.Errorf("%d of %d keys were won", len(winners), racedKeys)
	}
	if left := temporaries(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
