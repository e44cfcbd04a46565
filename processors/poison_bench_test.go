package processors_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// BenchmarkPoison is a backlog of new rows, or of updates, into PostgreSQL, once as it is and once with a row in a
// thousand that the server refuses (each 1,001st, so that all partitions have some), in
// turns on one machine: share is the rate of the second by that of the first. cpu-share is
// the same of the processor time of this process and of the server, which counts where
// others use the machine too. Figures come from TAILRACE_BENCH_ROWS=400000.
func BenchmarkPoison(b *testing.B) {
	b.Run("creates", func(b *testing.B) { poison(b, cdc.OpCreate) })
	b.Run("updates", func(b *testing.B) { poison(b, cdc.OpUpdate) })
}

func poison(b *testing.B, op cdc.Op) {
	rows := benchRows(b, 20_000)
	var clean, poisoned, cleanCPU, poisonedCPU time.Duration
	for b.Loop() {
		took, cpu := drain(b, rows, 0, op)
		clean, cleanCPU = clean+took, cleanCPU+cpu
		took, cpu = drain(b, rows, 1001, op)
		poisoned, poisonedCPU = poisoned+took, poisonedCPU+cpu
	}
	b.ReportMetric(float64(rows*b.N)/clean.Seconds(), "rows/s-clean")
	b.ReportMetric(float64(rows*b.N)/poisoned.Seconds(), "rows/s-poison")
	b.ReportMetric(clean.Seconds()/poisoned.Seconds(), "share")
	b.ReportMetric(cleanCPU.Seconds()/poisonedCPU.Seconds(), "cpu-share")
}

// drain is how long a backlog takes from the first batch on, and the processor time of it.
func drain(b *testing.B, rows, poison int, op cdc.Op) (took, cpu time.Duration) {
	b.Helper()
	w := benchWorld(b)
	w.database = pgtest.NewDatabase(b)
	w.exec("CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount bigint CHECK (amount < 1000000000), _tailrace_gen bigint, _tailrace_pos text COLLATE \"C\")")
	w.fillTopicWith(rows, poison, op)
	unlock := w.lock()
	p := w.start(func(s *setup) { s.consumer.FetchBytes = 8 << 20; s.consumer.SessionTimeout = 30 * time.Second })
	until(b, "batches to wait", func() bool { return p.gauge("tailrace_processor_in_flight_bytes") > 0 })
	before := processorTime(b, w.postmaster())
	begun := time.Now()
	unlock()
	until(b, "the end", func() bool { return p.done() >= rows })
	took = time.Since(begun)
	if got := p.byLabel("tailrace_processor_dead_letters_total")["constraint"]; poison > 0 && got < rows/poison {
		b.Fatalf("%d dead letters, want at least %d", got, rows/poison)
	}
	p.stop()
	return took, processorTime(b, w.postmaster()) - before
}

// done is how many records have an outcome.
func (p *process) done() (n int) {
	for _, of := range p.counters() {
		n += of
	}
	return n
}

// postmaster is the process whose children serve the sessions.
func (w *world) postmaster() string {
	w.t.Helper()
	pid, _, _ := strings.Cut(w.value("SELECT pg_read_file('postmaster.pid')"), "\n")
	return pid
}

// processorTime is what this process has used, and another one's children, those that have
// ended included.
func processorTime(b *testing.B, postmaster string) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range all {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		switch {
		case file == "/proc/"+postmaster+"/stat":
			fields = fields[13:15] // cutime and cstime, in hundredths
		case fields[1] == postmaster:
			fields = fields[11:13] // utime and stime
		default:
			continue
		}
		for _, field := range fields {
			n, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}
