package test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestAServerThatCannotDecodeItsWALIsNotAskedForEver: the kill harness has met a
// server whose view of its catalog was wrong after a slot was made beside TRUNCATE,
// and which failed at the same place each time. What it said then is said here in the
// place of a change.
func TestAServerThatCannotDecodeItsWALIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	h := newHistory(t, nil)
	h.sql(historyTable, `INSERT INTO t VALUES (1, 'old'), (2, 'old')`)
	p := h.run("")
	p.awaitState("streaming")
	h.same("before")
	failure, err := (&pgproto3.ErrorResponse{Severity: "ERROR", Code: "XX000", Message: `could not map filenumber "base/142359/142780" to relation OID`}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	slot := h.value(`SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, h.slot())
	h.tap.instead.Store(&failure)
	h.sql(`DELETE FROM t WHERE id = 1`, `INSERT INTO t VALUES (3, 'cannot be decoded')`)
	r := p.awaitState("stopped")
	for _, want := range []string{"cannot decode", "could not map filenumber", "--resnapshot"} {
		if !strings.Contains(r.Reason, want) {
			t.Errorf("readyz: %q lacks %q", r.Reason, want)
		}
	}
	h.tap.instead.Store(nil)
	h.resnapshot()
	p.awaitState("streaming")
	h.same("after")
	if now := h.value(`SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = $1`, h.slot()); now == slot {
		t.Error("the slot that cannot be decoded is still there")
	}
}
