package agentgroup

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// bridge turns memberlist's lines into slog's. What it calls an error is mostly another
// process's doing (a stranger's packet, a member that went mid-sentence), so it warns; its
// warnings inform, and the rest is for debugging.
func bridge(l *slog.Logger) *log.Logger {
	return log.New(lines{l}, "", 0)
}

type lines struct{ log *slog.Logger }

func (w lines) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	level := slog.LevelDebug
	for prefix, l := range map[string]slog.Level{
		"[ERR] ": slog.LevelWarn, "[WARN] ": slog.LevelInfo, "[INFO] ": slog.LevelDebug, "[DEBUG] ": slog.LevelDebug,
	} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			text, level = rest, l
			break
		}
	}
	w.log.Log(context.Background(), level, "gossip: "+strings.TrimPrefix(text, "memberlist: "))
	return len(p), nil
}
