package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

// patience bounds every wait for a process.
const patience = 90 * time.Second

// process is a program that this run started, with its log.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	http string        // address of its metrics and profiles
	done chan struct{} // closed when it has ended
}

// start runs a program until stop, with variables besides ours; it logs into dir.
func start(dir, name string, environ []string, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	file, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.Env = append(os.Environ(), environ...)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process at once: what is measured has been measured.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.done
}

// ready waits until the process says that it can do its work.
func (p *process) ready(ctx context.Context) error {
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, lastWords(p.log))
		default:
		}
		response, err := http.Get("http://" + p.http + "/readyz")
		if err != nil {
			last = err
			continue
		}
		text, _ := io.ReadAll(response.Body) // only to say why it is not ready
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("%s: %.300s", response.Status, text)
	}
	return fmt.Errorf("%s is not ready: %w: %s", p.name, last, lastWords(p.log))
}

// lastWords is the end of a log, for an error.
func lastWords(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// freeAddress finds a loopback address that nothing listens on, another one with every call. Its port is not one that the
// system hands out, for then the process that is told it could lose it to a connection; nor one of Kafka's.
func freeAddress() (string, error) {
	var last error
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%ports))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("no port is free: %w", last)
}

const firstPort, ports = 20_000, 10_000

// nextPort begins somewhere, for another run may look for ports as well.
var nextPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(rand.Int64N(ports))
	return &n
}()
