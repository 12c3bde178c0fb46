package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// Env is what a run gives its cases.
type Env struct {
	Binary   string // the isthmus program
	Dir      string // on a tmpfs: data of every system
	Logs     string // of the processes of the last case
	Profiles string // folder of CPU profiles; none are taken when empty
	Short    bool
	Out      io.Writer // progress

	log   *slog.Logger
	kafka map[System]*Kafka
	round int
}

func (e *Env) warn(format string, args ...any) {
	fmt.Fprintf(e.Out, "  warning: "+format+"\n", args...)
}

// keepLog moves a log out of the data, for whoever wants to know why a case failed.
func (e *Env) keepLog(p *process) {
	text, err := os.ReadFile(p.log)
	if err == nil {
		err = os.WriteFile(filepath.Join(e.Logs, filepath.Base(p.log)), text, 0o600)
	}
	if err != nil {
		e.warn("keep the log of %s: %v", p.name, err)
	}
}

// Warmup and Measure are how long a load runs.
func (e *Env) Warmup() time.Duration { return e.pick(3*time.Second, time.Second) }

// Measure is the measured time of a load at full speed.
func (e *Env) Measure() time.Duration { return e.pick(5*time.Second, 2*time.Second) }

func (e *Env) pick(full, short time.Duration) time.Duration {
	if e.Short {
		return short
	}
	return full
}

// Kafka is a cluster of brokers that stays up for the whole run, for a JVM is slow until it has worked.
type Kafka struct {
	Addresses []string
	PIDs      []int
	folder    string
}

var brokers = map[System]int{KafkaRF1: 1, KafkaRF3: 3}

// Kafka returns the cluster of a system, warm. It is started at its first use.
func (e *Env) Kafka(ctx context.Context, s System) (*Kafka, error) {
	if k := e.kafka[s]; k != nil {
		return k, nil
	}
	k := &Kafka{folder: filepath.Join(e.Dir, string(s))}
	cmd := exec.CommandContext(ctx, "scripts/kafka.sh", "up", strconv.Itoa(brokers[s]), k.folder)
	cmd.Env = append(os.Environ(), "KAFKA_PORT="+map[System]string{KafkaRF1: "17190", KafkaRF3: "17290"}[s])
	cmd.Stderr = e.Out
	e.kafka[s] = k
	if err := e.startKafka(ctx, s, k, cmd); err != nil {
		e.stopKafka(s, k) // also what did start of it
		return nil, err
	}
	return k, nil
}

func (e *Env) startKafka(ctx context.Context, s System, k *Kafka, cmd *exec.Cmd) error {
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("start %s: %w", s, err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue // what an install has to say
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		k.PIDs = append(k.PIDs, pid)
		k.Addresses = append(k.Addresses, fields[1])
	}
	if len(k.PIDs) != brokers[s] {
		return fmt.Errorf("scripts/kafka.sh named %d brokers, not %d: %s", len(k.PIDs), brokers[s], text)
	}
	return e.warm(ctx, k)
}

func (e *Env) stopKafka(s System, k *Kafka) {
	delete(e.kafka, s)
	if text, err := exec.Command("scripts/kafka.sh", "down", k.folder).CombinedOutput(); err != nil {
		e.warn("stop %s: %v: %s", s, err, text)
	}
}

// warm loads a new cluster for as long as its compilers need.
func (e *Env) warm(ctx context.Context, k *Kafka) error {
	fmt.Fprintf(e.Out, "  warming %d broker(s)\n", len(k.PIDs))
	c := large()
	c.Brokers, c.Topic = k.Addresses, "warm"
	c.Warmup, c.For = 0, e.pick(45*time.Second, 3*time.Second)
	c.Rate = 60_000 // enough to compile, little enough to stay in memory
	if _, err := bench.EndToEnd(ctx, c, e.log, nil); err != nil {
		return fmt.Errorf("warm Kafka: %w", err)
	}
	return k.delete(ctx, c.Topic)
}

// Close stops what the run started.
func (e *Env) Close() {
	e.release(nil)
	if err := os.RemoveAll(e.Dir); err != nil {
		e.warn("remove %s: %v", e.Dir, err)
	}
}

// release stops the brokers that none of the coming cases needs: an idle Kafka takes a few percent of a core.
func (e *Env) release(coming []Case) {
	for s, k := range e.kafka {
		if slices.ContainsFunc(coming, func(c Case) bool { return slices.Contains(c.Systems, s) }) {
			continue
		}
		e.stopKafka(s, k)
	}
}

// Target is a running system that a load is aimed at.
type Target struct {
	Produce, Consume []string
	PIDs             []int
	cluster          *Cluster // of isthmus
	kafka            *Kafka
	topic            string
}

// Target prepares a system for one sample: a fresh cluster of isthmus, or a topic of Kafka.
func (e *Env) Target(ctx context.Context, s System, o Options) (*Target, error) {
	topic := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	if s == Isthmus {
		c, err := e.StartIsthmus(ctx, o)
		if err != nil {
			return nil, err
		}
		return &Target{Produce: c.ProduceAddresses(), Consume: c.FetchAddresses(), PIDs: c.PIDs(), cluster: c, topic: topic}, nil
	}
	k, err := e.Kafka(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Target{Produce: k.Addresses, Consume: k.Addresses, PIDs: k.PIDs, kafka: k, topic: topic}, nil
}

// Close removes the sample's data.
func (t *Target) Close(ctx context.Context, e *Env) {
	if t.cluster != nil {
		t.cluster.Stop()
		return
	}
	if err := t.kafka.delete(ctx, t.topic); err != nil {
		e.warn("%v", err)
	}
}

// Aim fills in where a load goes.
func (t *Target) Aim(c bench.Config) bench.Config {
	c.Brokers, c.ConsumeBrokers, c.ServerPIDs, c.Topic = t.Produce, t.Consume, t.PIDs, t.topic
	return c
}

// sound turns a violation into an error.
func sound(r bench.Result, err error) (Sample, error) {
	if err != nil {
		return Sample{}, err
	}
	if !r.Sound() {
		return Sample{}, fmt.Errorf("%d lost, %d duplicated, %d reordered, %d errors (%s)", r.Lost, r.Duplicated, r.Reordered, r.Errors, r.FirstError)
	}
	if r.ProducedRecords+r.ConsumedRecords == 0 {
		return Sample{}, fmt.Errorf("nothing was measured in %.1f s", r.Seconds)
	}
	return from(r), nil
}
