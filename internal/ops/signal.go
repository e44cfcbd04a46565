package ops

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that the first SIGTERM or Ctrl-C cancels: the
// program drains, confirms what is done and returns. The second one ends the
// process at once with ExitFailed. notice gets a line for each. stop gives the
// signals back and waits for the goroutine behind this; only main calls
// Signals.
func Signals(parent context.Context, notice io.Writer) (drain context.Context, stop func()) {
	return signals(parent, notice, os.Exit)
}

func signals(parent context.Context, notice io.Writer, exit func(int)) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for first := true; ; first = false {
			select {
			case <-quit:
				return
			case s := <-got:
				if !first {
					_, _ = fmt.Fprintf(notice, "%s again: stopping at once; what is not confirmed is sent again at the next start\n", s)
					exit(ExitFailed)
					return
				}
				_, _ = fmt.Fprintf(notice, "%s: draining; once more stops at once\n", s)
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(got)
		select {
		case <-quit:
		default:
			close(quit)
		}
		<-gone
		cancel()
	}
}
