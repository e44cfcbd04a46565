package test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// takeover is how long it may take from the first relay's SIGKILL until the second
// one streams. A machine that has other things to do gets more time, unless the test
// is there to measure.
const takeover, takeoverUnderLoad = 3 * time.Second, 20 * time.Second

// TestASecondRelayWaitsAndTakesOver: the slot is the lock, the transactional id the
// fence. TAILRACE_TAKEOVER_RUNS kills more often, and holds each to three seconds.
func TestASecondRelayWaitsAndTakesOver(t *testing.T) {
	t.Parallel()
	runs, bound := 2, takeoverUnderLoad
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_TAKEOVER_RUNS")); err == nil {
		runs, bound = n, takeover
	}
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	one := func() *process {
		file, ops := s.relayConfig("")
		again := fmt.Sprintf("%s.%d", file, time.Now().UnixNano()) // the next one's file has the same name
		if err := os.Rename(file, again); err != nil {
			t.Fatal(err)
		}
		return start(t, ops, "relay", "run", "-c", again)
	}
	first := one()
	first.awaitState("streaming")
	rows := 1
	var took []time.Duration
	for range runs {
		second := one()
		if r := second.awaitState("standby"); r.Code != 503 {
			t.Errorf("readyz of the standby is %d, want 503", r.Code)
		}
		s.sql(fmt.Sprintf(`INSERT INTO t SELECT i FROM generate_series(%d, %d) i`, rows+1, rows+2000))
		killed := time.Now()
		first.kill()
		second.awaitState("streaming")
		took = append(took, time.Since(killed))
		s.sql(fmt.Sprintf(`INSERT INTO t VALUES (%d)`, rows+2001))
		rows += 2001
		first = second
	}
	slices.Sort(took)
	t.Logf("%d takeovers took %s at least, %s in the middle, %s at most", runs, took[0], took[runs/2], took[runs-1])
	if took[runs-1] > bound {
		t.Errorf("a takeover took %s, want %s at most", took[runs-1], bound)
	}
	got := s.read(s.name + ".public.t").count(rows)
	streamRises(t, got)
	ids := map[string]bool{}
	for _, r := range got {
		ids[fmt.Sprint(unwrap(r.key["id"]))] = true
	}
	if len(ids) != rows {
		t.Errorf("%d rows arrived, want %d", len(ids), rows)
	}
}
