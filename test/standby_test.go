package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestASecondRelayWaitsAndTakesOver: the slot is the lock, the transactional id
// the fence.
func TestASecondRelayWaitsAndTakesOver(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`, `INSERT INTO t VALUES (1)`)
	file, ops := s.relayConfig("")
	first := start(t, ops, "relay", "run", "-c", file)
	first.awaitState("streaming")

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, ops2 := filepath.Join(s.dir, "second.yaml"), freeAddr(t)
	if err := os.WriteFile(other, []byte(strings.Replace(string(text), ops, ops2, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, ops2, "relay", "run", "-c", other)
	if r := second.awaitState("standby"); r.Code != 503 {
		t.Errorf("readyz of the standby is %d, want 503", r.Code)
	}
	s.sql(`INSERT INTO t SELECT i FROM generate_series(2, 2000) i`)
	first.kill()
	killed := time.Now()
	s.sql(`INSERT INTO t VALUES (2001)`)
	second.awaitState("streaming")
	t.Logf("took over after %s", time.Since(killed))
	got := s.read(s.name + ".public.t").count(2001)
	streamRises(t, got)
	ids := map[string]bool{}
	for _, r := range got {
		ids[fmt.Sprint(unwrap(r.key["id"]))] = true
	}
	if len(ids) != 2001 {
		t.Errorf("%d rows arrived, want 2001", len(ids))
	}
}
