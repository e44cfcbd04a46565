// Package measure tells what processes cost: CPU seconds and peak memory from
// /proc, and how much of a machine's time went to others meanwhile. Linux only.
// Its functions are safe for concurrent use.
package measure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// tick is how much CPU time one unit of /proc/<pid>/stat is: USER_HZ is 100 on
// every architecture that Go has.
const tick = 0.01

// Process is what /proc/<pid>/stat says of a process.
type Process struct {
	PID, Parent int
	Name        string
	User        float64 // CPU seconds in user mode, of all its threads
	System      float64 // and in the kernel
	Reaped      float64 // both, of children that have ended
}

// CPU is the process's own CPU seconds.
func (p Process) CPU() float64 { return p.User + p.System }

// ErrGone says that there is no such process any more.
var ErrGone = errors.New("the process has ended")

// Read is one process as it is now.
func Read(pid int) (Process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return Process{}, ErrGone
	}
	if err != nil {
		return Process{}, err
	}
	return parseStat(b)
}

// parseStat reads proc_pid_stat(5). The name is in parentheses and may hold
// some itself.
func parseStat(b []byte) (Process, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return Process{}, fmt.Errorf("read /proc: %q is no line of stat", b)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:open])))
	if err != nil {
		return Process{}, fmt.Errorf("read /proc: %w", err)
	}
	p := Process{PID: pid, Name: string(b[open+1 : end])}
	fields := bytes.Fields(b[end+1:]) // from field 3 on
	if len(fields) < 15 {
		return Process{}, fmt.Errorf("read /proc: %q is no line of stat", b)
	}
	number := func(field int) (n int64) {
		v, e := strconv.ParseInt(string(fields[field-3]), 10, 64)
		err = errors.Join(err, e)
		return v
	}
	p.Parent = int(number(4))
	p.User, p.System = float64(number(14))*tick, float64(number(15))*tick
	p.Reaped = float64(number(16)+number(17)) * tick
	return p, err
}

// PeakMemory is the most memory that a process has had resident, in bytes
// (VmHWM). ru_maxrss would not do: a child has its parent's at first.
func PeakMemory(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, ErrGone
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, ErrGone // a zombie has no memory
}

// kernelThreads is the process whose children are threads of the kernel.
const kernelThreads = 2

// All are the processes of the machine by id, without the kernel's own.
func All() (map[int]Process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, errors.New("there are no processes in /proc; the rig runs on Linux only")
	}
	all := make(map[int]Process, len(paths))
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		p, err := Read(pid)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if p.PID != kernelThreads && p.Parent != kernelThreads {
			all[p.PID] = p
		}
	}
	return all, nil
}
