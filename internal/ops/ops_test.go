package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	stopped := fmt.Errorf("run: %w", &cdc.StopError{What: "slot lost"})
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{Usage(errors.New("x")), 2},
		{fmt.Errorf("y: %w", Usage(errors.New("x"))), 2},
		{stopped, 3},
		{&Exit{Code: ExitFound}, 4},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("Code(%v) = %d, want %d", c.err, got, c.want)
		}
	}
	if Usage(nil) != nil || !Silent(&Exit{Code: 4}) || Silent(stopped) {
		t.Error("Usage(nil) or Silent is wrong")
	}
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := NewLogger(&bytes.Buffer{}, c[0], c[1]); Code(err) != ExitUsage {
			t.Errorf("%v: got %v", c, err)
		}
	}
	var b bytes.Buffer
	log, err := NewLogger(&b, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("no")
	log.Warn("yes", "wait", 1500*time.Millisecond)
	if got := b.String(); !strings.Contains(got, `"msg":"yes","wait":"1.5s"`) || strings.Contains(got, "no\"") {
		t.Error(got)
	}
}

func TestRepeatsAreShownAtMostTwiceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		r := NewRepeats(slog.New(slog.NewTextHandler(&b, nil)))
		ctx := context.Background()
		for range 180 { // three minutes
			r.Log(ctx, slog.LevelWarn, "broker", "broker away", slog.String("broker", "b1"))
			time.Sleep(time.Second)
		}
		r.Log(ctx, slog.LevelWarn, "registry", "registry away")
		r.Over(ctx, slog.LevelInfo, "broker", "broker back")
		r.Over(ctx, slog.LevelInfo, "never", "not shown")
		r.Log(ctx, slog.LevelWarn, "broker", "broker away")
		var got []string
		for line := range strings.Lines(b.String()) {
			_, after, _ := strings.Cut(strings.TrimSpace(line), "msg=")
			got = append(got, after)
		}
		first, more := `"broker away" broker=b1`, `"broker away" broker=b1 repeats=29`
		want := []string{first, more, more, more, more, more, `"registry away"`, `"broker back" repeats=29`, `"broker away"`}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestRepeatsForgetTheOldest(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := NewRepeats(slog.New(slog.NewTextHandler(&b, nil)))
	for i := range 3 * maxRepeatKeys {
		r.Log(context.Background(), slog.LevelInfo, fmt.Sprint(i), "x")
	}
	if len(r.seen) > maxRepeatKeys {
		t.Errorf("%d keys are remembered", len(r.seen))
	}
}

func TestBackoffGrowsToItsMaximum(t *testing.T) {
	t.Parallel()
	b := Backoff{Initial: time.Second, Max: 5 * time.Second}
	for _, most := range []time.Duration{1, 2, 4, 5, 5} {
		if got := b.Next(); got < most*time.Second/2 || got > most*time.Second {
			t.Errorf("got %v, want %ds or half of it", got, most)
		}
	}
	b.Reset()
	if got := b.Next(); got > time.Second {
		t.Errorf("after Reset: %v", got)
	}
}

func TestRetryStopsAtWhatIsNotTransient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		permanent := errors.New("permanent")
		calls, waits := 0, 0
		err := Retry(t.Context(), Backoff{}, func(err error) bool { return err != permanent }, func(error, time.Duration) { waits++ },
			func(context.Context) error {
				if calls++; calls == 4 {
					return permanent
				}
				return errors.New("transient")
			})
		if err != permanent || calls != 4 || waits != 3 {
			t.Errorf("got %v after %d calls, %d waits", err, calls, waits)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = Retry(ctx, Backoff{}, func(error) bool { return true }, nil, func(context.Context) error { return errors.New("last") })
		if fmt.Sprint(err) != "last" {
			t.Errorf("got %v, want the last error", err)
		}
	})
}

// Not parallel: the process has one set of signals.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	exited := make(chan int, 1)
	var notice bytes.Buffer
	drain, stop := signals(context.Background(), &notice, func(code int) { exited <- code })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-drain.Done()
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := <-exited; code != ExitFailed {
		t.Errorf("exit code %d", code)
	}
	stop()
	if got := notice.String(); !strings.Contains(got, "draining; once more stops at once") || !strings.Contains(got, "interrupt again") {
		t.Error(got)
	}
}

func TestSignalsGivenBack(t *testing.T) {
	drain, stop := Signals(context.Background(), &bytes.Buffer{})
	stop()
	if drain.Err() == nil {
		t.Error("the context outlives stop")
	}
}

func TestTableIsAligned(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	o := &Output{W: &b, Color: true}
	table := NewTable("LEVEL", "WHAT")
	table.Row(o.Paint(Red, "error"), "slot \"é\" is gone", "create it")
	table.Row("info", "fine")
	if err := table.Write(o); err != nil {
		t.Fatal(err)
	}
	want := "LEVEL  WHAT\n\x1b[31merror\x1b[0m  slot \"é\" is gone  create it\ninfo   fine\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
	b.Reset()
	table.Row("x", "later", "aligned")
	if err := table.Write(o); err != nil {
		t.Fatal(err)
	}
	if want := "x      later             aligned\n"; b.String() != want {
		t.Errorf("rows of a later write: got\n%q\nwant\n%q", b.String(), want)
	}
}

func TestOutputIsOneObjectPerLine(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	o := &Output{W: &b, JSON: true}
	if err := o.Object(map[string]string{"a": "<b>\n"}); err != nil {
		t.Fatal(err)
	}
	if b.String() != "{\"a\":\"<b>\\n\"}\n" {
		t.Error(b.String())
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if IsTerminal(f) {
		t.Error("/dev/null is no terminal")
	}
	if _, err := NewOutput(f, "yaml"); Code(err) != ExitUsage {
		t.Errorf("got %v", err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{Bytes(0), "0 B"},
		{Bytes(1536), "1.5 KiB"},
		{Bytes(5 << 30), "5.0 GiB"},
		{Bytes(-2048), "-2.0 KiB"},
		{Seconds(0.25), "250 ms"},
		{Seconds(3.21), "3.2 s"},
		{Seconds(250), "4m10s"},
		{Seconds(3 * 86400), "3d0h"},
		{Seconds(-1), "unknown"},
		{Count(1234567), "1,234,567"},
		{Count(-12), "-12"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}

func TestVersionIsNeverEmpty(t *testing.T) {
	t.Parallel()
	b := Build("relay")
	if b.Version == "" || b.Go == "" || !strings.HasPrefix(b.String(), "relay ") {
		t.Errorf("%+v", b)
	}
}
