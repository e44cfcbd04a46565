package test

import (
	"strings"
	"testing"
	"time"
)

// TestASilentDatabaseEndsASessionAtLeastOnce: nothing fences a relay whose slot
// another one may get after wal_sender_timeout, so it gives up after half of that,
// with what it has buffered. (What the next start waits for is tested in kafka.)
func TestASilentDatabaseEndsASessionAtLeastOnce(t *testing.T) {
	t.Parallel()
	h := newHistory(t, map[string]string{"wal_sender_timeout": "6s"})
	h.sql(historyTable, `INSERT INTO t VALUES (1, 'old')`)
	p := h.run("delivery: at_least_once\n")
	p.awaitState("streaming")
	h.same("before")
	began := time.Now()
	end := h.tap.hush()
	await(t, func() (bool, string) {
		log := p.log.String() // of who reads, or of who asks beside it
		return strings.Contains(log, "it may have given the connection up") || strings.Contains(log, "so the slot may be another relay's"), "the session goes on"
	})
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("noticed after %s, and wal_sender_timeout is 6 s", took)
	}
	end()
	p.awaitState("streaming")
	h.same("after")
	wholeRuns(t, h.readAll(h.name+".public.t"))
}
