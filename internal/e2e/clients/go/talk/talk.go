// Package talk is what the drivers of Go's client libraries have in common: their command
// line, and the JSON lines that they print. A driver talks to a cluster as its client's users
// would and tells what it sees; who runs it judges. Logs go to standard error.
package talk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Options are the command line.
type Options struct {
	Verb       string
	Bootstrap  []string
	Topic      string
	Count      int
	Timeout    time.Duration
	Codec      string
	Size       int
	Tag        string
	Idempotent bool
	Partition  int // -1: the client chooses
	Linger     time.Duration
	Group      string // "": none
	Commit     bool
	Stay       bool
	Committed  bool  // read_committed
	Timestamp  int64 // milliseconds
}

// MaxBatch is the limit of a client's batches in bytes: the usual million, or more where a single record needs it, so that it is
// the cluster that refuses what is too large.
func (o Options) MaxBatch() int { return max(1_000_000, o.Size+1000) }

// MaxFetch is how much a consumer asks for at once.
const MaxFetch = 10_000_000

// Run parses the command line and has the conversation that it asks for, until it ends, the timeout is over or SIGTERM
// comes: then ctx is done. An error that a conversation returns is one of a call that asked the cluster something.
func Run(library string, verbs map[string]func(context.Context, Options) error) {
	if len(os.Args) < 2 {
		usage(errors.New("no verb"))
	}
	o := Options{Verb: os.Args[1]}
	if o.Verb == "version" {
		fmt.Fprintln(os.Stdout, library[strings.LastIndexByte(library, '/')+1:], version(library))
		return
	}
	flags := flag.NewFlagSet("driver", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	bootstrap := flags.String("bootstrap", "", "")
	flags.StringVar(&o.Topic, "topic", "", "")
	flags.IntVar(&o.Count, "count", 0, "")
	flags.DurationVar(&o.Timeout, "timeout", time.Minute, "")
	flags.StringVar(&o.Codec, "codec", "none", "")
	flags.IntVar(&o.Size, "size", 100, "")
	flags.StringVar(&o.Tag, "tag", "", "")
	idempotent := flags.String("idempotent", "true", "")
	flags.IntVar(&o.Partition, "partition", -1, "")
	linger := flags.Int("linger", 5, "")
	flags.StringVar(&o.Group, "group", "", "")
	commit := flags.String("commit", "true", "")
	stay := flags.String("stay", "false", "")
	flags.String("from", "earliest", "") // every conversation goes on where its group has committed, or from the start
	isolation := flags.String("isolation", "read_uncommitted", "")
	flags.Int64Var(&o.Timestamp, "timestamp", 0, "")
	if err := flags.Parse(os.Args[2:]); err != nil {
		usage(err)
	}
	o.Bootstrap = strings.Split(*bootstrap, ",")
	o.Idempotent, o.Commit, o.Stay = *idempotent == "true", *commit == "true", *stay == "true"
	o.Committed, o.Linger = *isolation == "read_committed", time.Duration(*linger)*time.Millisecond
	converse, ok := verbs[o.Verb]
	if !ok || *bootstrap == "" || o.Topic == "" {
		usage(fmt.Errorf("verb %q, bootstrap %q, topic %q", o.Verb, *bootstrap, o.Topic))
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if !o.Stay {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	if err := converse(ctx, o); err != nil {
		NewErrors(1).Say(err)
	}
}

func usage(err error) {
	fmt.Fprintf(os.Stderr, "%v\nusage: driver produce|consume|seek|version [--option value]...\n", err)
	os.Exit(1)
}

func version(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "unknown"
}

var out sync.Mutex

// Say prints one line at once.
func Say(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // a line of this package's callers that is no JSON
	}
	out.Lock()
	defer out.Unlock()
	fmt.Fprintf(os.Stdout, "%s\n", text)
}

func SayPartitions(event string, partitions []int) {
	if partitions == nil {
		partitions = []int{}
	}
	Say(map[string]any{"event": event, "partitions": partitions})
}

func SayOffset(partition int, offset int64) {
	Say(map[string]any{"event": "offset", "partition": partition, "offset": offset})
}

func SayProduced(acked, failed int) {
	Say(map[string]any{"event": "done", "acked": acked, "failed": failed})
}

// Records are the keys and values to produce: "TAG-i", the value padded with x.
func Records(o Options) (keys, values [][]byte) {
	for i := range o.Count {
		key := fmt.Appendf(nil, "%s-%d", o.Tag, i)
		keys = append(keys, key)
		values = append(values, append(bytes.Clone(key), bytes.Repeat([]byte("x"), max(0, o.Size-len(key)))...))
	}
	return keys, values
}

// Reading counts what a consumer reads and knows when it is enough.
type Reading struct {
	Options
	cancel func()

	mu   sync.Mutex
	read int
}

// NewReading returns a Reading and a context that is done when enough is read, too.
func NewReading(ctx context.Context, o Options) (*Reading, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	r := &Reading{Options: o, cancel: cancel}
	if o.Count == 0 && !o.Stay {
		cancel()
	}
	return r, ctx
}

// Record says one record; false, if more than enough was read and this one does not count.
func (r *Reading) Record(partition int, offset int64, key, value []byte, timestamp time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.Stay && r.read >= r.Count {
		return false
	}
	name, _, _ := strings.Cut(string(value), "x")
	Say(map[string]any{"partition": partition, "offset": offset, "key": string(key), "value": name, "size": len(value), "timestamp": timestamp.UnixMilli()})
	r.read++
	if !r.Stay && r.read == r.Count {
		r.cancel()
	}
	return true
}

// End says how it ended.
func (r *Reading) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	event := "done"
	if !r.Stay && r.read < r.Count {
		event = "timeout"
	}
	Say(map[string]any{"event": event, "read": r.read})
}

// Errors says each distinct error once, and no more than a few.
type Errors struct {
	mu   sync.Mutex
	most int
	said map[string]bool
}

func NewErrors(most int) *Errors { return &Errors{most: most, said: make(map[string]bool)} }

// Say says an error that is, or wraps, one of Kafka's codes in one of the clients' types.
func (e *Errors) Say(err error) {
	code, name := -1, fmt.Sprintf("%T", err)
	if c, ok := Code(err); ok {
		code, name = int(c), "UNKNOWN_SERVER_ERROR"
		if known := new(kerr.Error); errors.As(kerr.ErrorForCode(c), &known) {
			name = known.Message
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if line := fmt.Sprint(code, err); len(e.said) < e.most && !e.said[line] {
		e.said[line] = true
		Say(map[string]any{"event": "error", "code": code, "name": name, "message": err.Error()})
	}
}

// Code finds Kafka's code in an error; each driver knows its client's type.
var Code func(error) (code int16, ok bool)
