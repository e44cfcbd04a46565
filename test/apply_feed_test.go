package test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

// filteredID is the row that the pipeline's filter lets not pass.
const filteredID = 39

// historyPartitions is how many partitions the topic of a history has.
const historyPartitions = 3

// feed writes a topic as a relay would, past the taps, and knows what its fold is.
// Deliveries repeat, in runs, and some records do not fit the sink. One goroutine
// uses it.
type feed struct {
	t     *testing.T
	r     *applyRun
	rng   *rand.Rand
	topic string
	// The address stays when the broker is started anew.
	broker string
	plan   *schema.Plan
	ids    int

	n       int // of the last change
	rows    map[int]string
	notes   map[int]string
	trace   map[int][]string                 // what was published of a row, first deliveries only
	past    [historyPartitions][]*kgo.Record // what can be delivered again
	ends    map[int]int64
	records int // without control records
}

func newFeed(t *testing.T, r *applyRun, seed uint64) *feed {
	t.Helper()
	h := &feed{t: t, r: r, rng: rand.New(rand.NewPCG(seed, 1)), topic: r.name + ".public.items", broker: r.worker.broker.Addr(), ids: 40, rows: map[int]string{}, notes: map[int]string{}, trace: map[int][]string{}, ends: map[int]int64{}}
	base := func(name string) *cdc.Type {
		return &cdc.Type{Schema: "pg_catalog", Name: name, Kind: cdc.KindBase}
	}
	table := &cdc.Table{Schema: "public", Name: "items", Identity: cdc.IdentityDefault, Facts: true, Key: []int{0}, Columns: []cdc.Column{
		{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true, Replicated: true}, {Name: "name", Type: base("text"), Modifier: -1},
		{Name: "note", Type: base("text"), Modifier: -1}, {Name: "amount", Type: base("int8"), Modifier: -1},
	}}
	var err error
	h.plan, err = schema.NewEncoder(schema.Settings{Name: r.name, Database: "shop", Version: "test"}, registry.New(registry.Config{URLs: []string{r.worker.url}})).Plan(t.Context(), table, h.topic)
	if err != nil {
		t.Fatal(err)
	}
	client := h.client()
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), historyPartitions, 1, nil, h.topic); err != nil {
		t.Fatal(err)
	}
	return h
}

// client goes to the broker itself, which may have been started anew.
func (h *feed) client() *kgo.Client {
	h.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(h.broker), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(20*time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		h.t.Fatal(err)
	}
	return client
}

// publish writes some changes. While the broker is down, none.
func (h *feed) publish(count int) {
	h.t.Helper()
	client := h.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Second)
	defer cancel()
	if client.Ping(ctx) != nil {
		return
	}
	var records []*kgo.Record
	for range count {
		records = append(records, h.change()...)
		if p := h.rng.IntN(historyPartitions); h.rng.IntN(12) == 0 && len(h.past[p]) > 0 {
			from := h.rng.IntN(len(h.past[p]))
			for _, r := range h.past[p][from:min(len(h.past[p]), from+1+h.rng.IntN(5))] { // delivered again
				again := *r
				records = append(records, &again)
			}
		}
	}
	for _, r := range records {
		h.ends[int(r.Partition)]++
		h.records++
	}
	if err := client.ProduceSync(h.t.Context(), records...).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

// change is one change of a random row, with the tombstone behind a delete.
func (h *feed) change() []*kgo.Record {
	h.n++
	id := h.rng.IntN(h.ids)
	_, exists := h.rows[id]
	text := func(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }
	name, note, amount := fmt.Sprintf("n%d", h.n), fmt.Sprintf("t%d", h.n), strconv.Itoa(1000+h.n)
	row := []cdc.Value{text(strconv.Itoa(id)), text(name), text(note), text(amount)}
	switch n := h.rng.IntN(20); {
	case exists && n < 3:
		absent := cdc.Value{State: cdc.Absent}
		gone := h.record(id, cdc.OpDelete, []cdc.Value{row[0], absent, absent, absent}, 0)
		grave := h.record(id, cdc.OpDelete, []cdc.Value{row[0], absent, absent, absent}, cdc.PartTombstone)
		grave.Value = nil
		delete(h.rows, id)
		h.past[gone.Partition] = append(h.past[gone.Partition], gone)
		return []*kgo.Record{gone, grave}
	case exists && n < 9: // note is as it was
		row[2] = cdc.Value{State: cdc.Unchanged}
		note = h.notes[id]
	case exists && n < 11: // it does not fit; the note stays, so that later changes of it are right either way
		amount = strconv.Itoa(5_000_000 + h.n)
		row[2], row[3] = cdc.Value{State: cdc.Unchanged}, text(amount)
		note = h.notes[id]
	}
	h.notes[id] = note
	if h.rows[id] = name + " " + note + " " + amount; id == filteredID {
		h.rows[id] = ""
	}
	r := h.record(id, cdc.OpUpdate, row, 0)
	h.past[r.Partition] = append(h.past[r.Partition], r)
	return []*kgo.Record{r}
}

func (h *feed) record(id int, op cdc.Op, row []cdc.Value, part uint64) *kgo.Record {
	h.t.Helper()
	key, err := h.plan.AppendKey(nil, row)
	if err != nil {
		h.t.Fatal(err)
	}
	e := &cdc.Envelope{Op: op, After: row, Tx: &cdc.Transaction{XID: 7, CommitLSN: cdc.LSN(h.n), CommitTime: 1}, LSN: cdc.LSN(h.n), Now: 1}
	if op == cdc.OpDelete {
		e.Before, e.After = row, nil
	}
	value, err := h.plan.AppendValue(nil, e)
	if err != nil {
		h.t.Fatal(err)
	}
	h.trace[id] = append(h.trace[id], fmt.Sprintf("%s %s/%d %q", op, "lsn", h.n, row))
	pos := cdc.Position{Epoch: 1, LSN: cdc.LSN(h.n), Ordinal: 1, Part: part}
	r := &kgo.Record{Topic: h.topic, Partition: int32(id % historyPartitions), Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: cdc.HeaderPosition, Value: []byte(pos.String())}}}
	for _, v := range row {
		if v.State == cdc.Unchanged {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: cdc.HeaderUnavailable, Value: []byte("after.note")})
		}
	}
	return r
}

// conn is a session of the sink's server, past the taps.
func (h *feed) conn() (*pgx.Conn, error) {
	return pgx.Connect(h.t.Context(), h.r.worker.postgres.URL(h.r.name))
}

func (h *feed) sql(statements ...string) {
	h.t.Helper()
	conn, err := h.conn()
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(h.t.Context(), s); err != nil {
			h.t.Fatalf("%v in %s", err, s)
		}
	}
}

// value is one text of the sink; "" when there is none.
func (h *feed) value(query string) string {
	h.t.Helper()
	conn, err := h.conn()
	if err != nil {
		return ""
	}
	defer conn.Close(context.Background())
	var s string
	if err := conn.QueryRow(h.t.Context(), query).Scan(&s); err != nil {
		return ""
	}
	return s
}

// offsets are those of the sink.
func (h *feed) offsets() map[int]int64 {
	h.t.Helper()
	at := map[int]int64{}
	for p := range historyPartitions {
		n, err := strconv.ParseInt(h.value(fmt.Sprintf("SELECT next_offset::text FROM tailrace.offsets WHERE partition = %d", p)), 10, 64)
		if err == nil {
			at[p] = n
		}
	}
	return at
}

// sink is the target table by id.
func (h *feed) sink() map[int]string {
	h.t.Helper()
	conn, err := h.conn()
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(h.t.Context(), "SELECT id, name || ' ' || note || ' ' || amount FROM public.items")
	if err != nil {
		h.t.Fatal(err)
	}
	got := map[int]string{}
	var id int
	var text *string
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		got[id] = "null"
		if text != nil {
			got[id] = *text
		}
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return got
}

// counters adds the outcomes that a processor counted.
func (p *process) counters() (sum int, text string) {
	resp, err := http.Get("http://" + p.ops + "/metrics")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "tailrace_processor_changes_total"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' '):]), 64)
			sum += int(n)
			text += strings.TrimSpace(rest) + " "
		}
	}
	return sum, text
}

// run1 runs a command of the processor to its end and returns what it says.
func run1(ctx context.Context, args ...string) string {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "processor"), args...).CombinedOutput()
	if err != nil {
		return string(out) + err.Error()
	}
	return string(out)
}
