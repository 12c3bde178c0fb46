//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// driver is one client library behind the command line that every driver of internal/e2e/clients has:
//
//	driver version
//	driver produce --bootstrap B --topic T --count N --codec C --size BYTES --tag TAG ...
//	driver consume --bootstrap B --topic T --count N [--group G] [--stay true] ...
//	driver seek    --bootstrap B --topic T --count N --timestamp MS
//
// A driver prints a JSON line for everything that happens to it, and ends with code 0 whenever the conversation has
// ended, with whatever errors.
type driver struct {
	path             string
	library, version string
}

// line is one line of a driver's standard output: an event, or a record that was read.
type line struct {
	Event   string
	Code    int
	Name    string
	Message string

	Partitions []int32

	Partition int32
	Offset    int64
	Key       string
	Value     string // up to its padding
	Size      int
	Timestamp int64

	Acked, Failed, Read int
}

func (l line) String() string {
	if l.Event == "error" {
		return fmt.Sprintf("error %d %s: %s", l.Code, l.Name, l.Message)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// openDriver asks a driver which library it is.
func openDriver(t *testing.T, name string) driver {
	t.Helper()
	awaitInstall(t, name)
	path, err := filepath.Abs("../../.cache/clients/" + name + "/driver")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "version").Output()
	if err != nil {
		t.Fatalf("%s version: %v: run scripts/clients/%s.sh", path, err, name)
	}
	library, version, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok || strings.ContainsAny(version, " \n") {
		t.Fatalf("%s version printed %q, want a name and a version", path, out)
	}
	return driver{path: path, library: library, version: version}
}

// awaitInstall waits until scripts/e2e.sh has installed something, which it may do while tests run.
func awaitInstall(t *testing.T, name string) {
	t.Helper()
	folder := os.Getenv("ISTHMUS_E2E_INSTALLS")
	if folder == "" {
		return // nobody installs anything now: what is there is there
	}
	for deadline := time.Now().Add(20 * time.Minute); ; time.Sleep(time.Second) {
		status, err := os.ReadFile(filepath.Join(folder, name+".status"))
		if err == nil && strings.TrimSpace(string(status)) == "0" {
			return
		}
		if err == nil || time.Now().After(deadline) {
			log, readErr := os.ReadFile(filepath.Join(folder, name+".log"))
			t.Fatalf("scripts/clients/%s.sh ended with %q (%v, %v):\n%s", name, status, err, readErr, tail(string(log), 60))
		}
	}
}

// conversation is one run of a driver.
type conversation struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
	log  string        // its standard error
	done chan struct{} // closed when the driver has ended

	mu    sync.Mutex
	lines []line
	err   error
}

// start begins a conversation. The driver is killed when the test ends, if it has not ended by itself.
func (d driver) start(t *testing.T, args ...string) *conversation {
	t.Helper()
	c := &conversation{t: t, args: args, log: filepath.Join(t.TempDir(), "driver.log"), done: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(d.path, args...)
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a wrapper and the program that it wraps
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", d.path, err)
	}
	go c.listen(out)
	t.Cleanup(func() {
		select {
		case <-c.done:
		default:
			syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
			<-c.done
		}
		if t.Failed() {
			c.show()
		}
	})
	return c
}

func (c *conversation) listen(out io.Reader) {
	defer close(c.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		err := json.Unmarshal(lines.Bytes(), &l)
		c.mu.Lock()
		if err != nil && c.err == nil {
			c.err = fmt.Errorf("the driver printed %q: %w", lines.Text(), err)
		}
		c.lines = append(c.lines, l)
		c.mu.Unlock()
	}
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && lines.Err() != nil {
		c.err = fmt.Errorf("read the driver's lines: %w", lines.Err())
	}
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("the driver ended with %w", err)
	}
}

// show prints the end of what a driver said.
func (c *conversation) show() {
	log, err := os.ReadFile(c.log)
	if err != nil {
		log = []byte(err.Error())
	}
	var said strings.Builder
	all := c.said()
	for _, l := range all[max(0, len(all)-15):] {
		fmt.Fprintln(&said, l)
	}
	c.t.Logf("driver %s\nits last lines of %d:\n%sits log:\n%s", strings.Join(c.args, " "), len(all), said.String(), tail(string(log), 40))
}

// said is every line so far.
func (c *conversation) said() []line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// wait waits until the driver has ended by itself.
func (c *conversation) wait() []line {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(2 * patience):
		c.t.Fatalf("driver %s has not ended after %s", strings.Join(c.args, " "), 2*patience)
	}
	if c.err != nil {
		c.t.Fatalf("driver %s: %v", strings.Join(c.args, " "), c.err)
	}
	return c.said()
}

// terminate asks the driver to end, as an orchestrator does, and waits until it has.
func (c *conversation) terminate() []line {
	c.t.Helper()
	if err := syscall.Kill(-c.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		c.t.Fatalf("terminate driver %s: %v", strings.Join(c.args, " "), err)
	}
	return c.wait()
}

// run is a whole conversation.
func (d driver) run(t *testing.T, args ...string) []line {
	t.Helper()
	return d.start(t, args...).wait()
}

// events are the lines of one kind; "" stands for records.
func events(lines []line, kind string) []line {
	var found []line
	for _, l := range lines {
		if l.Event == kind {
			found = append(found, l)
		}
	}
	return found
}

// unsupported is what a driver says that its library cannot do, or "".
func unsupported(lines []line) string {
	for _, l := range events(lines, "unsupported") {
		return l.Message
	}
	return ""
}

// held are the partitions that a member of a group has, by what it was told.
func held(lines []line) []int32 {
	has := make(map[int32]bool)
	for _, l := range lines {
		for _, p := range l.Partitions {
			switch l.Event {
			case "assigned":
				has[p] = true
			case "revoked":
				delete(has, p)
			}
		}
	}
	var all []int32
	for p := range has {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

func numbered(name string, number int) string { return name + "-" + strconv.Itoa(number) }
