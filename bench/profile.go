package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// profile takes a CPU profile of each process of a cluster while a load runs, in the first round only, for it costs a little, and
// if the run keeps profiles: a file for each in the folder of profiles, and what pprof -top says of it beside. The returned
// function waits for them.
func (e *Env) profile(ctx context.Context, c *Cluster, name string, after, length time.Duration) (wait func()) {
	if e.Profiles == "" || c == nil || e.round > 1 {
		return func() {}
	}
	var all sync.WaitGroup
	for _, p := range c.Processes() {
		all.Go(func() {
			select {
			case <-time.After(after):
			case <-ctx.Done():
				return
			}
			file := filepath.Join(e.Profiles, name+"-"+p.name+".pb.gz")
			if err := download(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.http, max(1, int(length.Seconds()))), file); err != nil {
				e.warn("profile of %s: %v", p.name, err)
				return
			}
			if err := top(ctx, file); err != nil {
				e.warn("profile of %s: %v", p.name, err)
			}
		})
	}
	return all.Wait
}

// top writes beside a profile what costs most in it.
func top(ctx context.Context, file string) error {
	text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=40", file).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof -top %s: %w", file, err)
	}
	return os.WriteFile(strings.TrimSuffix(file, ".pb.gz")+".txt", text, 0o644)
}

func download(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}
