package test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAValueWithoutFormIsDeadLetteredAndTheStreamGoesOn: NaN has no decimal, and
// a second dimension no place in an array's schema that the registry holds to.
func TestAValueWithoutFormIsDeadLetteredAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2), a int[])`, `INSERT INTO t VALUES (1, 1.5, '{1,2}')`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`INSERT INTO t VALUES (2, 'NaN', '{1}')`, `INSERT INTO t VALUES (3, 2.5, '{{1,2},{3,4}}')`, `INSERT INTO t VALUES (4, 3.5, '{5}')`)
	got := s.read(s.name + ".public.t").count(2)
	streamRises(t, got)
	if ids := fmt.Sprint(unwrap(got[0].key["id"]), unwrap(got[1].key["id"])); len(got) != 2 || ids != "1 4" && ids != "4 1" {
		t.Errorf("%d records with ids %s, want 1 and 4", len(got), ids)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics(s.name+".dead_letter"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	letters := map[string]string{} // column -> after's id
	await(t, func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		for r := range client.PollFetches(ctx).RecordsAll() {
			var letter struct {
				Column, Reason, Position string
				After                    map[string]string
			}
			if err := json.Unmarshal(r.Value, &letter); err != nil {
				t.Fatal(err)
			}
			if letter.Reason == "" || letter.Position == "" {
				t.Errorf("dead letter without reason or position: %s", r.Value)
			}
			letters[letter.Column] = letter.After["id"]
		}
		return len(letters) == 2, fmt.Sprintf("dead letters of columns %v", letters)
	})
	if letters["n"] != "2" || letters["a"] != "3" {
		t.Errorf("dead letters %v, want n of row 2 and a of row 3", letters)
	}
}
