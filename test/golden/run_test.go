package golden

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/internal/ops"
)

// run is one case under way.
type run struct {
	t        *testing.T
	services *services
	capture  *capture
	url      string // of the case's database
	process  *process
	started  bool // once
}

// play does what the case says and gives the records that came of it.
func (s *services) play(t *testing.T, c *capture) (map[string][]*record, window) {
	t.Helper()
	r := &run{t: t, services: s, capture: c, url: s.database(t, c)}
	w := window{from: time.Now().UnixNano(), fromLSN: r.lsn()}
	for _, step := range c.steps() {
		switch step.Step {
		case "sql":
			r.sql(step.SQL)
		case "start":
			r.start(step.Props)
		case "wait until quiet":
			r.quiet()
		case "stop":
			r.process.stop()
			r.process = nil
		default:
			t.Fatalf("step %q is not known", step.Step)
		}
	}
	if what, ok := halts[c.Name]; ok {
		r.halted(what)
	} else {
		r.quiet()
	}
	r.heartbeats()
	r.process.stop()
	w.to, w.toLSN = time.Now().UnixNano(), r.lsn()
	return s.written(t, c.Prefix), w
}

// lsn is where the server writes its WAL.
func (r *run) lsn() int64 {
	r.t.Helper()
	var lsn int64
	if err := connect(r.t, r.url).QueryRow(r.t.Context(), "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&lsn); err != nil {
		r.t.Fatal(err)
	}
	return lsn
}

// heartbeats waits for as many heartbeats as the corpus keeps: they come by time,
// not by what the case does.
func (r *run) heartbeats() {
	r.t.Helper()
	topic, want := "__debezium-heartbeat."+r.capture.Prefix, 0
	for _, g := range r.capture.Records {
		if g.Topic == topic {
			want++
		}
	}
	if want == 0 {
		return
	}
	r.process.until(func() (bool, string) {
		n := len(r.services.written(r.t, r.capture.Prefix)[topic])
		return n >= want, fmt.Sprintf("%d of %d heartbeats", n, want)
	})
}

// halts are the cases whose configuration asks the relay to stop at a value,
// with what it must then say. In all others the stream goes on to the end, also
// where the connector's task died.
var halts = map[string]string{
	"numeric_nan_precise_fail": `public.t: column "n"`,
}

// halted returns when the relay has stopped and says of what.
func (r *run) halted(what string) {
	r.t.Helper()
	if h := r.process.awaitState(ops.StateStopped); !strings.Contains(h.Reason, what) {
		r.t.Errorf("the relay stopped: %q, want it to speak of %q", h.Reason, what)
	}
}

// start makes the publication, as the connector does at its first start, and
// brings the relay to where it streams.
func (r *run) start(props map[string]string) {
	r.t.Helper()
	conf := connector(r.t, r.capture, r.url, props)
	if !r.started {
		r.started = true
		r.publication(conf)
	}
	listen := r.services.ports.address(r.t)
	r.process = startRelay(r.t, r.services.relay(), r.services.relayConfig(r.t, conf, r.url, listen), listen)
	r.process.awaitState(ops.StateStreaming)
}

// publication is what the connector would have made under the options of the
// corpus: all tables, unless it was told to make none.
func (r *run) publication(conf map[string]string) {
	r.t.Helper()
	switch mode := conf["publication.autocreate.mode"]; mode {
	case "disabled":
		return
	case "", "all_tables":
	default:
		r.t.Fatalf("publication.autocreate.mode %q is not known here", mode)
	}
	q := "CREATE PUBLICATION dbz_publication FOR ALL TABLES"
	if conf["publish.via.partition.root"] == "true" {
		q += " WITH (publish_via_partition_root = true)"
	}
	sql(r.t, r.url, q)
}

// pause is a statement of the corpus that gives the connector time to read the
// catalog; here the relay says when it has.
var pause = regexp.MustCompile(`^SELECT pg_sleep\(\d+\);$`)

// sql runs a script in a session of its own, as psql does: each statement
// commits by itself, and goes on after an error that the case notes.
func (r *run) sql(script string) {
	r.t.Helper()
	conn := connect(r.t, r.url)
	for _, q := range statements(script) {
		if pause.MatchString(q) && r.process != nil {
			r.quiet()
			continue
		}
		err := conn.PgConn().Exec(r.t.Context(), q).Close()
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && strings.Contains(strings.Join(r.capture.Notes, "\n"), pgErr.Message) {
			continue
		}
		if err != nil {
			r.t.Fatalf("%s: %v", q, err)
		}
	}
	if err := conn.Close(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// marks is how many logical messages mark the end of what a case did so far:
// more than a case itself emits.
const marks = 100

// quiet returns when the relay has handled everything that the case did so far.
// It emits messages of a prefix that is never published, outside of transactions,
// so that nothing in the records tells of them, and waits until the relay has
// counted them among what it left out. They stand in the WAL behind all that was
// committed, and the relay handles the WAL in its order. (Messages of the case
// itself may be counted in between, hence so many marks.)
func (r *run) quiet() {
	r.t.Helper()
	const series = `tailrace_relay_filtered_total{reason="message"}`
	before, err := r.process.metric(series)
	if err != nil {
		r.t.Fatal(err)
	}
	conn := connect(r.t, r.url)
	// The transaction id makes the statement's end flush the WAL; a transaction
	// with nothing else is not sent.
	emit := fmt.Sprintf(`SELECT pg_logical_emit_message(false, 'tailrace.mark', ''), txid_current() FROM generate_series(1, %d)`, marks)
	if _, err := conn.Exec(r.t.Context(), emit); err != nil {
		r.t.Fatal(err)
	}
	r.process.until(func() (bool, string) {
		now, err := r.process.metric(series)
		if err != nil {
			return false, err.Error()
		}
		return now >= before+marks, fmt.Sprintf("the relay has counted %g of %d marks in the WAL", now-before, marks)
	})
}
