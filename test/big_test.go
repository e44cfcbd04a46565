package test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// Big and odd transactions: the relay's memory does not depend on what it reads,
// and its topics, folded, equal the tables. In their real sizes, which take some
// minutes and gigabytes:
//
//	TAILRACE_TEST_BIG=1 go test ./test -run '^TestBig' -timeout 60m -v
const envBig = "TAILRACE_TEST_BIG"

// inSize is a size for every day, and the real one where it is asked for.
func inSize(everyday, big int) int {
	if os.Getenv(envBig) != "" {
		return big
	}
	return everyday
}

// mostMemory is what a relay may need, in MiB of resident memory at its peak.
const mostMemory = 150

// within fails when the process has needed more memory than a relay may.
func (p *process) within(what string) {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Logf("%s: no peak of memory is known here: %v", what, err)
		return
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "VmHWM:" {
			continue
		}
		kib, err := strconv.Atoi(fields[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Logf("%s: peak of resident memory %d MiB", what, kib>>10)
		if kib>>10 > mostMemory {
			p.t.Errorf("%s: the relay needed %d MiB, more than %d", what, kib>>10, mostMemory)
		}
	}
}

// letters puts the dead letters of a topic together, as docs/events.md says.
func (s *stack) letters() []record {
	s.t.Helper()
	topic := s.name + ".dead_letter"
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var list []record
	open := map[string][]byte{} // by position
	for len(left) > 0 {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		fetches := client.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			s.t.Fatalf("%s: %v", topic, err)
		}
		for rec := range fetches.RecordsAll() {
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
			if rec.Attrs.IsControl() {
				continue
			}
			headers := map[string]string{}
			for _, h := range rec.Headers {
				headers[h.Key] = string(h.Value)
			}
			pos := headers[cdc.HeaderPosition]
			switch headers["dlq.part"] {
			case "", "1":
				open[pos] = nil
			}
			open[pos] = append(open[pos], rec.Value...)
			if headers["dlq.part"] != "" && headers["dlq.parts"] == "" {
				continue
			}
			if sum := sha256.Sum256(open[pos]); headers["dlq.part"] != "" && headers["dlq.sha256"] != hex.EncodeToString(sum[:]) {
				s.t.Errorf("%s: %d bytes have another sum than the last part says", pos, len(open[pos]))
			}
			list = append(list, s.letter(open[pos], headers))
			delete(open, pos)
		}
	}
	if len(open) > 0 {
		s.t.Errorf("%d letters have no end", len(open))
	}
	return list
}

// letter is a dead letter in the form of a record.
func (s *stack) letter(text []byte, headers map[string]string) record {
	s.t.Helper()
	var l struct {
		Schema, Table, Op, Column, Reason, Content string
		Before, After, Key                         map[string]*string
	}
	if err := json.Unmarshal(text, &l); err != nil {
		s.t.Fatalf("%v: %.200s", err, text)
	}
	pos, err := cdc.ParsePosition(headers[cdc.HeaderPosition])
	if err != nil {
		s.t.Fatal(err)
	}
	r := record{topic: l.Table, pos: pos, headers: headers, value: map[string]any{"op": l.Op, "content": len(l.Content)}}
	values := func(row map[string]*string) map[string]any {
		if row == nil {
			return nil
		}
		out := map[string]any{}
		for name, v := range row {
			switch {
			case v == nil:
				out[name] = nil
			case name == "big":
				out[name] = digest(fmt.Sprintf("%x", md5.Sum([]byte(*v))))
			default:
				out[name] = *v
			}
		}
		return out
	}
	r.key = values(l.Key)
	for side, row := range map[string]map[string]*string{"before": l.Before, "after": l.After} {
		if row != nil {
			r.value[side] = values(row)
		}
	}
	return r
}

// equal folds records and letters of tables and compares them with the tables.
func (s *stack) equal(tables []killTable, letters []record) {
	s.t.Helper()
	conn := s.connect()
	defer conn.Close(context.Background())
	var all []record
	for _, table := range tables {
		got := s.readAll(s.name + ".public." + table.name)
		all = append(all, got...)
		for _, l := range letters {
			if l.topic != table.name {
				continue
			}
			var missing []string
			if after, ok := l.value["after"].(map[string]any); ok {
				for _, c := range table.columns {
					if _, ok := after[c]; !ok {
						missing = append(missing, "after."+c)
					}
				}
			}
			l.headers[cdc.HeaderUnavailable] = strings.Join(missing, ",")
			if old, ok := l.value["before"].(map[string]any); ok && l.op() == "u" {
				for _, k := range table.key {
					if old[k] != nil && old[k] != l.key[k] { // the row has moved
						got = append(got, record{topic: l.topic, pos: l.pos, key: old, value: map[string]any{"op": "d", "before": old}})
						l.pos.Part = cdc.PartCreate
						break
					}
				}
			}
			got = append(got, l)
		}
		compare(s.t, table.name, replayed(s.t, table, got), table.selected(s.t, conn))
	}
	streamRises(s.t, all)
}

// published waits until everything that was committed by now is.
func (s *stack) published(p *process) {
	s.t.Helper()
	at := s.value(`SELECT pg_current_wal_lsn()`)
	deadline := time.Now().Add(20 * time.Minute)
	for {
		done := s.value(`SELECT (confirmed_flush_lsn >= $1::pg_lsn)::text FROM pg_replication_slots WHERE slot_name = $2`, at, "tailrace_"+s.name)
		if done == "true" {
			return
		}
		if r := p.ready(); r.State == "stopped" || time.Now().After(deadline) {
			s.t.Fatalf("not everything is published: %s", r.Reason)
		}
		select {
		case <-s.t.Context().Done():
			s.t.Fatal("interrupted")
		case <-p.done:
			s.t.Fatal("the relay ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestBigRowsGoToTheDeadLettersInParts: rows, old rows, snapshot rows and messages
// of 200 MB. What follows them has exact ordinals.
func TestBigRowsGoToTheDeadLettersInParts(t *testing.T) {
	t.Parallel()
	size := inSize(3<<20, 200<<20)
	config := "heartbeat: {interval: 1s}\n"
	if size < 100<<20 {
		config += "max_row: 256KiB\n"
	}
	s := newStack(t)
	big := fmt.Sprintf(`repeat(md5(random()::text) || E'\t"\\\n\u20ac', %d)`, size/40)
	s.sql(`CREATE TABLE docs (id int PRIMARY KEY, note text, big text)`, `CREATE TABLE fulls (big text, id int PRIMARY KEY, note text)`,
		`ALTER TABLE fulls REPLICA IDENTITY FULL`, `INSERT INTO docs VALUES (1, 'snapshot', 'short')`,
		`INSERT INTO docs VALUES (2, 'snapshot', `+big+`)`, `INSERT INTO docs VALUES (3, 'snapshot', NULL)`)
	file, ops := s.relayConfig(config)
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	p.within("snapshot with a large row")
	s.sql(`BEGIN; INSERT INTO docs VALUES (4, 'before', 'x'); INSERT INTO docs VALUES (5, 'large', `+big+`); INSERT INTO docs VALUES (6, 'after', 'y'); COMMIT`,
		`UPDATE docs SET note = 'changed' WHERE id = 5`, `UPDATE docs SET big = `+big+` WHERE id = 1`, `DELETE FROM docs WHERE id = 2`,
		`INSERT INTO fulls VALUES (`+big+`, 1, 'large')`, `UPDATE fulls SET note = 'the old one is large'`, `UPDATE fulls SET id = 2`,
		`UPDATE fulls SET big = `+big, `INSERT INTO fulls VALUES (`+big+`, 3, 'stays')`, `DELETE FROM fulls WHERE id = 2`, `UPDATE fulls SET big = 'short'`,
		`SELECT pg_logical_emit_message(true, 'big', `+big+`)`, `SELECT pg_logical_emit_message(false, 'big', `+big+`)`,
		`INSERT INTO docs VALUES (7, 'last', 'z')`)
	s.published(p)
	p.within("large rows")
	letters := s.letters()
	ops1 := map[string]int{}
	for _, l := range letters {
		ops1[l.topic+" "+l.op()]++
		if l.op() == "m" && l.value["content"].(int) < size {
			t.Errorf("a message of %d characters", l.value["content"])
		}
		if l.topic == "docs" && l.op() == "c" && l.pos.Ordinal != 2 {
			t.Errorf("the large row has ordinal %d, want 2", l.pos.Ordinal)
		}
	}
	if got := fmt.Sprint(ops1); got != "map[docs c:1 docs r:1 docs u:1 fulls c:2 fulls d:1 fulls u:4 message m:2]" {
		t.Errorf("letters %s", got)
	}
	s.equal([]killTable{{"docs", []string{"id", "note", "big"}, []string{"id"}}, {"fulls", []string{"big", "id", "note"}, []string{"id"}}}, letters)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
