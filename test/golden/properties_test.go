package golden

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
)

// This file holds what must be true of the fields that are masked: within one
// record, between our records, and of their pattern over Debezium's.

// properties collects what is wrong with our volatile fields.
type properties struct {
	window   window
	problems []string
	runs     map[string]string // ids of starts: Debezium's to ours, and ours to Debezium's
	xids     []twin            // ids of streamed transactions
	read     []twin            // ids of transactions in rows of the snapshot
	lsns     []twin            // positions
	clocks   map[int64]string
}

// window is when and where in the WAL a case took place; the zero value is
// everywhere.
type window struct {
	from, to       int64 // nanoseconds since 1970
	fromLSN, toLSN int64
}

// place holds that a position or a time of ours is one of the case's.
func (ps *properties) place(p pair, what string, n, from, to int64) {
	if to != 0 && (n < from || n > to) {
		ps.fail(p, "%s is %d, outside of what the case did, from %d to %d", what, n, from, to)
	}
}

// twin is a number of Debezium's and the one that stands in its place in ours.
type twin struct {
	theirs, ours int64
	where        string
	kind         kind
}

// kind says what a position is the position of.
type kind int

const (
	between  kind = iota // a message, the end of a transaction: behind it
	snapshot             // the snapshot: before the first streamed row, or where it begins
	streamed             // a streamed row: where its record in the WAL begins
)

func (ps *properties) fail(p pair, format string, args ...any) {
	ps.problems = append(ps.problems, fmt.Sprintf("%s record %d: ", p.theirs.topic, p.index)+fmt.Sprintf(format, args...))
}

// add takes a pair in, before its volatile fields are masked.
func (ps *properties) add(p pair) {
	where := fmt.Sprintf("%s record %d", p.theirs.topic, p.index)
	ours, ok := p.ours.value.value.(*object)
	theirs, ok2 := p.theirs.value.value.(*object)
	if !ok || !ok2 {
		return
	}
	ps.clock(p, "", ours)
	ps.run(p)
	if status, ok := ours.get("status"); ok { // of a transaction's record
		ps.id(p, where, text(theirs, "id"), text(ours, "id"))
		if k, v := text(p.ours.key.value, "id"), text(ours, "id"); k != v {
			ps.fail(p, "the id of %v is %q in the key and %q in the value", status, k, v)
		}
		return
	}
	source, ok := child(ours, "source")
	theirSource, ok2 := child(theirs, "source")
	if !ok || !ok2 {
		return
	}
	ps.clock(p, "source.", source)
	if v := text(source, "version"); v == "" {
		ps.fail(p, "source.version is empty")
	}
	if a, b, ok := numbers(theirSource, source, "txId"); ok {
		x := twin{theirs: a, ours: b, where: where + ": source.txId"}
		if text(source, "snapshot") != "false" {
			// The connector takes an id for its snapshot, the relay reads the next
			// one: the first transaction of the stream may have it.
			ps.read = append(ps.read, x)
		} else {
			at, _ := source.get("ts_ns")
			ps.xids = append(ps.xids, x)
			ps.sameClock(p, b, render(at))
		}
	}
	if a, b, ok := numbers(theirSource, source, "lsn"); ok {
		of := between
		if text(source, "snapshot") != "false" {
			of = snapshot
		} else if text(source, "table") != "" {
			of = streamed
		}
		ps.lsns = append(ps.lsns, twin{a, b, where + ": source.lsn", of})
		ps.place(p, "source.lsn", b, ps.window.fromLSN, ps.window.toLSN)
	}
	ps.sequence(p, theirSource, source)
	if block, ok := child(ours, "transaction"); ok {
		id, xid, lsn := text(block, "id"), number(source, "txId"), number(source, "lsn")
		if want := fmt.Sprintf("%d:%d", xid, lsn); id != want {
			ps.fail(p, "transaction.id is %q, want %q: txId and lsn of the event", id, want)
		}
	}
}

// clock holds that the three clocks of a record are one.
func (ps *properties) clock(p pair, path string, o *object) {
	if _, ok := o.get("ts_ms"); ok {
		const milli = 1_000_000 // a time in milliseconds is cut off
		ps.place(p, path+"ts_ms", number(o, "ts_ms")*milli, ps.window.from-milli, ps.window.to)
	}
	us, ok := o.get("ts_us")
	if !ok || us == nil {
		return
	}
	if ms, us, ns := number(o, "ts_ms"), number(o, "ts_us"), number(o, "ts_ns"); us != ns/1000 || ms != us/1000 {
		ps.fail(p, "%sts_ms %d, ts_us %d and ts_ns %d are not one time", path, ms, us, ns)
	}
}

// run holds that records have one id of their start where Debezium's have.
func (ps *properties) run(p pair) {
	theirs, ours := headerMap(p.theirs.headers)[runID], headerMap(p.ours.headers)[runID]
	if theirs == "" || ours == "" {
		return
	}
	if ps.runs == nil {
		ps.runs = map[string]string{}
	}
	for key, value := range map[string]string{"theirs " + theirs: ours, "ours " + ours: theirs} {
		if was, ok := ps.runs[key]; ok && was != value {
			ps.fail(p, "%s is %s; other records of that start have another one, or others of another start have it", runID, ours)
		}
		ps.runs[key] = value
	}
}

// sameClock holds that the rows of a transaction have its time.
func (ps *properties) sameClock(p pair, xid int64, at string) {
	if ps.clocks == nil {
		ps.clocks = map[int64]string{}
	}
	if was, ok := ps.clocks[xid]; ok && was != at {
		ps.fail(p, "source.ts_ns is %s, and %s in another row of transaction %d", at, was, xid)
	}
	ps.clocks[xid] = at
}

// sequence holds source.sequence to its form: the position of the commit before,
// null exactly where Debezium has null, behind this one exactly where it is there;
// and this position.
func (ps *properties) sequence(p pair, theirSource, source *object) {
	a, errA := positions(text(theirSource, "sequence"))
	b, errB := positions(text(source, "sequence"))
	if errA != nil || errB != nil {
		if errB != nil && errA == nil {
			ps.fail(p, "source.sequence %s: %v", text(source, "sequence"), errB)
		}
		return
	}
	if lsn := number(source, "lsn"); b[1] == nil || *b[1] != lsn {
		ps.fail(p, "source.sequence is %s, want it to end with source.lsn %d", text(source, "sequence"), lsn)
		return
	}
	if (a[0] == nil) != (b[0] == nil) {
		ps.fail(p, "source.sequence is %s, Debezium's %s", text(source, "sequence"), text(theirSource, "sequence"))
		return
	}
	if b[0] != nil {
		ps.place(p, "the commit in source.sequence", *b[0], ps.window.fromLSN, ps.window.toLSN)
	}
	if a[0] != nil && a[1] != nil && (*a[0] > *a[1]) != (*b[0] > *b[1]) {
		ps.fail(p, "source.sequence is %s, Debezium's %s: another order", text(source, "sequence"), text(theirSource, "sequence"))
	}
}

// positions reads ["<last commit>","<this>"], where the first may be null.
func positions(sequence string) ([2]*int64, error) {
	var texts []*string
	var out [2]*int64
	if err := json.Unmarshal([]byte(sequence), &texts); err != nil {
		return out, err
	}
	if len(texts) != 2 {
		return out, fmt.Errorf("%d positions", len(texts))
	}
	for i, s := range texts {
		if s == nil {
			continue
		}
		n, err := strconv.ParseInt(*s, 10, 64)
		if err != nil {
			return out, err
		}
		out[i] = &n
	}
	return out, nil
}

// id takes <xid>:<lsn> of a transaction's record in.
func (ps *properties) id(p pair, where, theirs, ours string) {
	var a, b [2]int64
	if _, err := fmt.Sscanf(theirs, "%d:%d", &a[0], &a[1]); err != nil {
		return
	}
	if _, err := fmt.Sscanf(ours, "%d:%d", &b[0], &b[1]); err != nil {
		ps.fail(p, "id is %q, want <xid>:<lsn>", ours)
		return
	}
	ps.xids = append(ps.xids, twin{theirs: a[0], ours: b[0], where: where + ": id"})
	ps.place(p, "id", b[1], ps.window.fromLSN, ps.window.toLSN)
	ps.lsns = append(ps.lsns, twin{theirs: a[1], ours: b[1], where: where + ": id"})
}

// finish holds the patterns over all records: what is one transaction there is
// one here, and positions come in one order.
func (ps *properties) finish() []string {
	ps.oneToOne(ps.xids)
	ps.oneToOne(ps.read)
	for i, a := range ps.lsns {
		for _, b := range ps.lsns[:i] {
			ps.inOrder(a, b)
		}
	}
	return ps.problems
}

// inOrder holds two positions to the order that they have there. Rows have the
// same one exactly where they have it there. A message and a transaction's end
// have the one behind them, which is the next row's unless the server has put
// something of its own in between.
func (ps *properties) inOrder(a, b twin) {
	want, got := cmp.Compare(a.theirs, b.theirs), cmp.Compare(a.ours, b.ours)
	if a.kind == b.kind && a.kind != between && want != got || want*got < 0 {
		ps.problems = append(ps.problems, fmt.Sprintf("%s is %d and %s is %d; in Debezium %d and %d", a.where, a.ours, b.where, b.ours, a.theirs, b.theirs))
	}
}

// oneToOne holds that what is one there is one here, and the reverse.
func (ps *properties) oneToOne(twins []twin) {
	there, here := map[int64]twin{}, map[int64]twin{}
	for _, x := range twins {
		if was, ok := there[x.theirs]; ok && was.ours != x.ours {
			ps.problems = append(ps.problems, fmt.Sprintf("%s is %d, and %s is %d; in Debezium they are one transaction", x.where, x.ours, was.where, was.ours))
		}
		if was, ok := here[x.ours]; ok && was.theirs != x.theirs {
			ps.problems = append(ps.problems, fmt.Sprintf("%s and %s are one transaction, %d; in Debezium they are two", x.where, was.where, x.ours))
		}
		there[x.theirs], here[x.ours] = x, x
	}
}

// child is the record in a field.
func child(v any, name string) (*object, bool) {
	o, ok := v.(*object)
	if !ok {
		return nil, false
	}
	f, _ := o.get(name)
	c, ok := f.(*object)
	return c, ok
}

func text(v any, name string) string {
	o, ok := v.(*object)
	if !ok {
		return ""
	}
	f, _ := o.get(name)
	s, _ := f.(string)
	return s
}

func number(o *object, name string) int64 {
	v, _ := o.get(name)
	n, _ := v.(int64)
	return n
}

// numbers gives a number of both sides, where both have one.
func numbers(theirs, ours *object, name string) (a, b int64, ok bool) {
	va, _ := theirs.get(name)
	vb, _ := ours.get(name)
	a, okA := va.(int64)
	b, okB := vb.(int64)
	return a, b, okA && okB
}

// canonical holds that our bytes are those that Java's writer makes of the value:
// what is compared later is encoded again.
func canonical(d *datum) error {
	if d.null() {
		return nil
	}
	again, err := d.typ.encode(nil, d.value)
	if err == nil && string(again) != string(d.body) {
		err = fmt.Errorf("the bytes are not those of Java's writer\n  ours %x\n  want %x", d.body, again)
	}
	return err
}
