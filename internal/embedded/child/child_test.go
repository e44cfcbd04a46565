package child

import (
	"os/exec"
	"syscall"
	"testing"
)

func TestProcessReportsItsEnd(t *testing.T) {
	t.Parallel()
	p, err := Start(exec.Command("sleep", "60"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
		t.Fatal("it ended by itself")
	default:
	}
	p.Signal(syscall.SIGTERM)
	<-p.Done()
	if got := p.State().Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM", got)
	}
	p.Signal(syscall.SIGTERM)
}

func TestStartReportsAMissingProgram(t *testing.T) {
	t.Parallel()
	p, err := Start(exec.Command("/nowhere/program"), syscall.SIGKILL)
	if err == nil {
		t.Fatal("a missing program started")
	}
	<-p.Done()
}
