package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// errLives: a process that should have ended has not.
var errLives = errors.New("did not end")

// patience bounds every wait for a process; nothing is judged by it.
const patience = 90 * time.Second

// process is one process of the cluster, in as many lives as the faults give it.
type process struct {
	name   string
	binary string
	args   []string
	env    []string
	log    string // of all lives
	http   string
	died   func(name string, err error) // is told of an end that nobody asked for

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	end    error
	doomed bool // its end is wanted
	lives  int
}

func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.binary, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for the soak, which stops its processes itself
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited, p.doomed, p.end = cmd, exited, false, nil
	p.lives++
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.end = err
		doomed := p.doomed
		p.mu.Unlock()
		if !doomed {
			p.died(p.name, err)
		}
		close(exited)
	}()
	return nil
}

// doom says that the process is about to end, and that this is wanted.
func (p *process) doom() (running *exec.Cmd, exited <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed = true
	return p.cmd, p.exited
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	cmd, exited := p.doom()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill() // fails only when it has ended already
	<-exited
}

// stop asks the process to end and returns how it did.
func (p *process) stop() error {
	cmd, _ := p.doom()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // as above
	return p.ends()
}

// ends waits for an end that was asked for.
func (p *process) ends() error {
	_, exited := p.doom()
	select {
	case <-exited:
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s: %w within %v", p.name, errLives, patience)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		return fmt.Errorf("%s: %w", p.name, p.end)
	}
	return nil
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// ready waits until the process says that it can do its work.
func (p *process) ready(ctx context.Context) error {
	var what string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if status, body := p.get(ctx, "/readyz"); status == http.StatusOK {
			return nil
		} else if what = body; !pause(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s is not ready after %v: %s", p.name, patience, what)
}

// get reads a page of the process; a process that does not listen has status 0.
func (p *process) get(ctx context.Context, path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // a connection kept would be counted as a leak
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// pause waits and reports whether it was allowed to finish.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
