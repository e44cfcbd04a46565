package ops

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// NewLogger writes to w (stderr, in the programs) from level on: debug, info,
// warn or error; format is text or json. An error names the wrong value.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	switch level {
	case "debug":
		l = slog.LevelDebug
	case "info", "":
		l = slog.LevelInfo
	case "warn":
		l = slog.LevelWarn
	case "error":
		l = slog.LevelError
	default:
		return nil, Usage(fmt.Errorf("--log-level %q: want debug, info, warn or error", level))
	}
	options := &slog.HandlerOptions{Level: l, ReplaceAttr: readable}
	switch format {
	case "text", "":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, Usage(fmt.Errorf("--log-format %q: want text or json", format))
}

// readable writes durations as 1.5s in both formats, and times in UTC.
func readable(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindDuration:
		return slog.String(a.Key, a.Value.Duration().String())
	case slog.KindTime:
		return slog.String(a.Key, a.Value.Time().UTC().Format(time.RFC3339Nano))
	}
	return a
}
