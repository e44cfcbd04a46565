package measure

import (
	"math"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestStatOfANameWithParentheses(t *testing.T) {
	t.Parallel()
	p, err := parseStat([]byte("42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 25 300 50 20 0 1 0 9 9 9\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Process{PID: 42, Parent: 7, Name: "a (b) c", User: 1.5, System: 0.25, Reaped: 3.5}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	for _, bad := range []string{"", "42", "42 (x) S 1", "x (y) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// burn is a program that uses about so much CPU time.
func burn(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestWatchSeesWhatAProcessUsedUntilItsEnd compares with what the kernel told of
// the child when it was waited for.
func TestWatchSeesWhatAProcessUsedUntilItsEnd(t *testing.T) {
	t.Parallel()
	cmd := burn(t)
	w, err := WatchPID(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	user, system, peak := w.Used(true)
	w.Close()
	want := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if got := user + system; math.Abs(got-want.Seconds()) > 0.1+want.Seconds()/4 || peak == 0 {
		t.Errorf("it used %.2f s and %d bytes; the kernel says %v", got, peak, want)
	}
}

// TestOthersAreThoseOutsideOfTheTree: a child that ends between two snapshots is
// of its parent's tree, and is somebody else's from another root.
func TestOthersAreThoseOutsideOfTheTree(t *testing.T) {
	t.Parallel()
	before, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	cmd := burn(t)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	after, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	used := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if got := after.Tree(os.Getpid()) - before.Tree(os.Getpid()); got < used-2*tick {
		t.Errorf("the tree used %.2f s, want at least the child's %.2f s", got, used)
	}
	const nobody = -1
	mine := func(root int) float64 {
		o := OthersBetween(before, after, root)
		return o.CPU
	}
	if with, without := mine(nobody), mine(os.Getpid()); with-without < used-2*tick {
		t.Errorf("others used %.2f s seen from outside and %.2f s seen from here; the difference should hold the child's %.2f s", with, without, used)
	}
}

// TestAnEndedProcessLeavesOnlyItsNewTime: what it had used before the first
// snapshot is not of the time between the two.
func TestAnEndedProcessLeavesOnlyItsNewTime(t *testing.T) {
	t.Parallel()
	before := Snapshot{all: map[int]Process{1: {PID: 1}, 10: {PID: 10, Parent: 1, Reaped: 5}, 11: {PID: 11, Parent: 10, Name: "x", User: 100}, 12: {PID: 12, Parent: 11, System: 7}}}
	after := Snapshot{all: map[int]Process{1: {PID: 1}, 10: {PID: 10, Parent: 1, Name: "sh", Reaped: 5 + 100 + 7 + 0.5}}, steal: 0.25}
	o := OthersBetween(before, after, 1000)
	if math.Abs(o.CPU-0.5) > 1e-9 || len(o.Who) != 1 || o.Steal != 0.25 {
		t.Errorf("got %+v, want 0.5 s of sh", o)
	}
	if o = OthersBetween(before, after, 10); o.CPU != 0 {
		t.Errorf("got %+v, want nothing: all is of the tree", o)
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var v []float64
	for i := range 100 {
		v = append(v, float64(i+1))
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 50, 0.95: 95, 0.99: 99, 0.991: 100, 1: 100} {
		if got := Quantile(v, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got, want := SpreadOf([]float64{3, 1, 2, 10}), (Spread{2.5, 1, 10}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if s := SpreadOf(nil); !math.IsNaN(s.Median) || !math.IsNaN(Quantile(nil, 0.5)) {
		t.Errorf("got %v of nothing", s)
	}
}

// TestPeakMemoryIsThatOfTheProcess and not its parent's.
func TestPeakMemoryIsThatOfTheProcess(t *testing.T) {
	t.Parallel()
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		peak, err := PeakMemory(cmd.Process.Pid)
		if err == nil && peak > 0 && peak < 32<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("sleep has %d bytes, %v; this test alone has %d", peak, err, len(ballast))
		}
	}
}
