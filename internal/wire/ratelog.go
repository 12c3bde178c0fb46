package wire

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// RateLog writes a line about the same thing at most once per period, and says how many lines it
// kept back. It is for what a client can cause as often as it likes.
type RateLog struct {
	log    *slog.Logger
	period time.Duration

	mu   sync.Mutex
	last map[string]*logged
}

type logged struct {
	at   time.Time
	held int
}

// rateLogKeys bounds what a RateLog remembers; past it, it forgets everything.
const rateLogKeys = 4096

// NewRateLog makes a RateLog that writes to log.
func NewRateLog(log *slog.Logger, period time.Duration) *RateLog {
	return &RateLog{log: log, period: period, last: make(map[string]*logged)}
}

// Warn writes msg unless one of the same key was written less than a period ago.
func (l *RateLog) Warn(key, msg string, args ...any) {
	held, ok := l.admit(key, time.Now())
	if !ok {
		return
	}
	if held > 0 {
		args = append(args, "held_back", held)
	}
	l.log.Log(context.Background(), slog.LevelWarn, msg, args...)
}

func (l *RateLog) admit(key string, now time.Time) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.last[key]
	if e != nil && now.Sub(e.at) < l.period {
		e.held++
		return 0, false
	}
	if e == nil {
		if len(l.last) >= rateLogKeys {
			clear(l.last)
		}
		e = new(logged)
		l.last[key] = e
	}
	held, e.held, e.at = e.held, 0, now
	return held, true
}
