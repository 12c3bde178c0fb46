package raft

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives raft's own log lines to slog.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: io.Discard})
	l.RegisterSink(sink{log.With("part", "raft")})
	return l
}

type sink struct{ log *slog.Logger }

// Accept implements hclog.SinkAdapter. What raft calls information or a warning is detail to us: with one
// voter it warns at every start that there was no leader yet. What matters of it, the node says itself.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Error {
		to = slog.LevelError
	}
	s.log.Log(context.Background(), to, msg, args...)
}
