package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestAPublicationChangedBySomebodyElseIsAGap: a table that was taken out of the
// publication and added again has a hole that no stream tells of. The relay says so
// and stops, whoever adds it again; what a person decides then is done.
func TestAPublicationChangedBySomebodyElseIsAGap(t *testing.T) {
	t.Parallel()
	for _, byHand := range []bool{true, false} {
		t.Run(fmt.Sprintf("added by hand %v", byHand), func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.sql(`CREATE TABLE many (id int PRIMARY KEY, note text)`, `CREATE TABLE other (id int PRIMARY KEY, note text)`,
				`INSERT INTO many SELECT i, 'snapshot' FROM generate_series(1, 10) i`)
			p := s.run("")
			publication := `ALTER PUBLICATION tailrace_` + s.name
			s.sql(`UPDATE many SET note = 'streamed' WHERE id = 1`, publication+` DROP TABLE many`,
				`UPDATE many SET note = 'in the hole' WHERE id < 5`, `DELETE FROM many WHERE id = 9`, `INSERT INTO many VALUES (11, 'in the hole')`)
			if byHand {
				s.sql(publication+` ADD TABLE many`, `INSERT INTO many VALUES (12, 'behind it')`)
			}
			if r := p.awaitState("stopped"); !strings.Contains(r.Reason, "public.many") || strings.Contains(r.Reason, "public.other") || !strings.Contains(r.Reason, "--resnapshot") {
				t.Errorf("stopped because %s", r.Reason)
			}
			p.stop()
			s.awaitSlotFree()
			if !byHand {
				s.sql(publication + ` ADD TABLE many`) // the relay's role does not own it
			}
			file, ops := s.relayConfig("")
			p = start(t, ops, "relay", "run", "-c", file, "--resnapshot")
			p.awaitState("streaming")
			s.sql(`INSERT INTO many VALUES (13, 'afterwards')`, `INSERT INTO other VALUES (1, 'afterwards')`)
			s.published(p)
			table := killTable{"many", []string{"id", "note"}, []string{"id"}}
			conn := s.connect()
			defer conn.Close(t.Context())
			got := slices.DeleteFunc(s.readAll(s.name+".public.many"), func(r record) bool { return r.pos.Epoch == 1 }) // as the sweep does
			compare(t, "many", replayed(t, table, got), table.selected(t, conn))
			p.stop()
			s.awaitSlotFree()
			p = start(t, ops, "relay", "run", "-c", file) // settled for good
			p.awaitState("streaming")
		})
	}
}
