// Package child runs programs that do not outlive this process: they get a
// process group of their own, so that a Ctrl-C in the terminal reaches them only
// through us, and on Linux a signal when we die, even by SIGKILL.
package child

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a running program. Its methods are safe for concurrent use.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start starts cmd. onDeath is the signal that it gets when this process dies.
// The command's pipes, if any, must be read by the caller as with exec.Cmd.
//
// The kernel sends that signal when the thread that started the child ends, not
// the process. So one goroutine starts the child, keeps its thread, and waits
// for the child.
func Start(cmd *exec.Cmd, onDeath syscall.Signal) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, onDeath)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // State tells how it ended
		}
	}()
	return p, <-started
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// State tells how the process ended. Call it after Done.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal; to a process that has ended, it does nothing.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }
