package golden

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// difference is one place where ours is not what Debezium wrote.
type difference struct {
	topic        string
	record       int    // index in the topic; -1: the topic itself
	path         string // "value.after.n", "key schema", "headers", "record"
	ours, theirs string
	settle       func() // makes ours theirs, for the bytes that are compared last
}

func (d *difference) String() string {
	where := d.topic
	if d.record >= 0 {
		where = fmt.Sprintf("%s record %d", d.topic, d.record)
	}
	same := 0 // bytes that begin both
	for same < min(len(d.ours), len(d.theirs)) && d.ours[same] == d.theirs[same] {
		same++
	}
	return fmt.Sprintf("%s: %s\n      ours     %s\n      Debezium %s", where, d.path, clip(d.ours, same), clip(d.theirs, same))
}

// clip shortens what no screen takes to the surroundings of a place.
func clip(s string, around int) string {
	const before, most = 160, 400
	from := 0
	if len(s) > most {
		from = max(0, around-before)
	}
	out := s[from:min(len(s), from+most)]
	if from > 0 {
		out = "…" + out
	}
	if from+most < len(s) {
		out += "…"
	}
	return strings.ToValidUTF8(out, "")
}

// comparison collects the differences of one case that no exception allows.
type comparison struct {
	exceptions *exceptions
	window     window
	schemas    map[string][2]string // by topic and side, the last pair of texts: ours and Debezium's
	found      []*difference
}

func newComparison(e *exceptions, w window) *comparison {
	return &comparison{exceptions: e, window: w, schemas: map[string][2]string{}}
}

func (c *comparison) report(d *difference) {
	if c.exceptions.allow(d) {
		if d.settle != nil {
			d.settle()
		}
		return
	}
	c.found = append(c.found, d)
}

// compare pairs our records with Debezium's, topic by topic.
func (c *comparison) compare(theirs, ours map[string][]*record) []pair {
	names := map[string]bool{}
	for topic := range theirs {
		names[topic] = true
	}
	for topic := range ours {
		names[topic] = true
	}
	var pairs []pair
	for _, topic := range slices.Sorted(maps.Keys(names)) {
		pairs = append(pairs, c.align(topic, theirs[topic], ours[topic])...)
	}
	return pairs
}

// pair is a record of Debezium's and ours in its place.
type pair struct {
	index        int // of Debezium's in its topic
	theirs, ours *record
}

// held compares everything, and gives what is wrong with our volatile fields; the
// differences are in found. It changes ours.
func (c *comparison) held(theirs, ours map[string][]*record) []string {
	held := properties{window: c.window}
	for _, p := range c.compare(theirs, ours) {
		for _, d := range []*datum{&p.ours.key, &p.ours.value} {
			if err := canonical(d); err != nil {
				held.fail(p, "%v", err)
			}
		}
		held.add(p)
		c.records(p)
	}
	return held.finish()
}

// align pairs the records of a topic, each in its order, and reports those that
// only one side has.
func (c *comparison) align(topic string, theirs, ours []*record) []pair {
	if strings.HasPrefix(topic, "__debezium-heartbeat.") {
		ours = ours[:min(len(ours), len(theirs))] // the corpus keeps the first ones
	}
	var pairs []pair
	for _, at := range alignment(theirs, ours) {
		switch {
		case at.ours < 0:
			c.report(&difference{topic: topic, record: at.theirs, path: onlyTheirs, theirs: theirs[at.theirs].summary()})
		case at.theirs < 0:
			c.report(&difference{topic: topic, record: at.ours, path: onlyOurs, ours: ours[at.ours].content()})
		default:
			pairs = append(pairs, pair{at.theirs, theirs[at.theirs], ours[at.ours]})
		}
	}
	return pairs
}

// meeting is where two records meet; -1 where a side has none.
type meeting struct{ theirs, ours int }

// alignment is the cheapest way to lay two lists of records side by side, so that
// one record too many does not show as a difference in all that follow. It never
// changes the order of a side.
func alignment(theirs, ours []*record) []meeting {
	const alone, unlike = 2, 3 // two records without a counterpart cost more than an unlike pair
	cost := make([][]int, len(theirs)+1)
	for i := range cost {
		cost[i] = make([]int, len(ours)+1)
	}
	pairCost := func(i, j int) int {
		if theirs[i].summary() == ours[j].summary() {
			return 0
		}
		return unlike
	}
	for i := len(theirs); i >= 0; i-- {
		for j := len(ours); j >= 0; j-- {
			switch {
			case i == len(theirs):
				cost[i][j] = alone * (len(ours) - j)
			case j == len(ours):
				cost[i][j] = alone * (len(theirs) - i)
			default:
				cost[i][j] = min(cost[i+1][j+1]+pairCost(i, j), cost[i+1][j]+alone, cost[i][j+1]+alone)
			}
		}
	}
	var meetings []meeting
	for i, j := 0, 0; i < len(theirs) || j < len(ours); {
		switch {
		case i < len(theirs) && j < len(ours) && cost[i][j] == cost[i+1][j+1]+pairCost(i, j):
			meetings = append(meetings, meeting{i, j})
			i, j = i+1, j+1
		case i < len(theirs) && cost[i][j] == cost[i+1][j]+alone:
			meetings = append(meetings, meeting{i, -1})
			i++
		default:
			meetings = append(meetings, meeting{-1, j})
			j++
		}
	}
	return meetings
}

// The paths of records without a counterpart; their index is that of the side
// which has them.
const (
	onlyTheirs = "record only of Debezium"
	onlyOurs   = "record only of ours"
)

// summary is a record in a line: its operation and its key.
func (r *record) summary() string {
	if r.letter != "" {
		return r.letter
	}
	op := "tombstone"
	if !r.value.null() {
		op = "record"
		if v, ok := r.value.value.(*object); ok {
			if o, ok := v.get("op"); ok {
				op = render(o)
			} else {
				op = render(v)
			}
		}
	}
	return strings.Trim(op, `"`) + " " + render(r.key.value)
}

// content is a record in a line with its row.
func (r *record) content() string {
	for _, side := range []string{"after", "before"} {
		if row, ok := child(r.value.value, side); ok {
			return r.summary() + " " + render(row)
		}
	}
	return r.summary()
}

// records compares a pair.
func (c *comparison) records(p pair) {
	add := func(path, ours, theirs string, settle func()) {
		c.report(&difference{topic: p.theirs.topic, record: p.index, path: path, ours: ours, theirs: theirs, settle: settle})
	}
	mask(p.theirs, p.ours)
	c.data(p, "key", &p.theirs.key, &p.ours.key)
	c.data(p, "value", &p.theirs.value, &p.ours.value)
	kept, problem := maskHeaders(p.theirs.headers, p.ours.headers)
	if problem != "" {
		add("headers", problem, "", nil)
	}
	theirs, ours := headerMap(p.theirs.headers), headerMap(kept)
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if _, ok := ours[name]; !ok {
			add("headers."+name, absent, theirs[name], nil)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if their, ok := theirs[name]; !ok || their != ours[name] {
			if !ok {
				their = absent
			}
			add("headers."+name, ours[name], their, nil)
		}
	}
	if len(theirs) == len(ours) && !slices.EqualFunc(kept, p.theirs.headers, func(a, b header) bool { return a.Name == b.Name }) {
		add("headers", fmt.Sprint(kept), fmt.Sprint(p.theirs.headers), nil)
	}
}

func headerMap(headers []header) map[string]string {
	m := map[string]string{}
	for _, h := range headers {
		m[h.Name] = h.Text
	}
	return m
}

// data compares keys or values: the schema's text, what was decoded, and last the
// bytes, with what is masked or allowed to differ as Debezium has it.
func (c *comparison) data(p pair, side string, theirs, ours *datum) {
	add := func(path, our, their string, settle func()) {
		c.report(&difference{topic: p.theirs.topic, record: p.index, path: path, ours: our, theirs: their, settle: settle})
	}
	if theirs.null() || ours.null() {
		if theirs.null() != ours.null() {
			add(side, ours.String(), theirs.String(), nil)
		}
		return
	}
	schemas, last := [2]string{ours.schema, theirs.schema}, p.theirs.topic+" "+side
	if ours.schema != theirs.schema && c.schemas[last] != schemas {
		add(side+" schema", ours.schema, theirs.schema, nil) // once, at the first record that has it
	}
	c.schemas[last] = schemas
	before := len(c.found)
	c.values(p, side, theirs.value, &ours.value)
	if len(c.found) > before || theirs.schema != ours.schema {
		return
	}
	again, err := ours.typ.encode(nil, ours.value)
	if err != nil {
		add(side+" bytes", err.Error(), "", nil)
	} else if !bytes.Equal(again, theirs.body) {
		add(side+" bytes", fmt.Sprintf("%x", again), fmt.Sprintf("%x", theirs.body), nil)
	}
}

func (d *datum) String() string {
	if d.null() {
		return "null"
	}
	return render(d.value)
}

// absent stands for a field that one side's record does not have.
const absent = "(no such field)"

// values compares two decoded values, field by field and item by item; maps as a
// whole.
func (c *comparison) values(p pair, path string, theirs any, ours *any) {
	switch a := theirs.(type) {
	case *object:
		if b, ok := (*ours).(*object); ok && !a.isMap && !b.isMap {
			c.fields(p, path, a, b)
			return
		}
	case []any:
		if b, ok := (*ours).([]any); ok && len(a) == len(b) {
			for i := range a {
				c.values(p, fmt.Sprintf("%s[%d]", path, i), a[i], &b[i])
			}
			return
		}
	}
	if our, their := render(*ours), render(theirs); our != their {
		c.report(&difference{topic: p.theirs.topic, record: p.index, path: path, ours: our, theirs: their,
			settle: func() { *ours = theirs }})
	}
}

// fields compares two records by the names of their fields. Their order is the
// schema's, which is compared as text.
func (c *comparison) fields(p pair, path string, theirs, ours *object) {
	for i, name := range theirs.names {
		j := slices.Index(ours.names, name)
		if j < 0 {
			c.report(&difference{topic: p.theirs.topic, record: p.index, path: path + "." + name, ours: absent, theirs: render(theirs.values[i])})
			continue
		}
		c.values(p, path+"."+name, theirs.values[i], &ours.values[j])
	}
	for j, name := range ours.names {
		if !slices.Contains(theirs.names, name) {
			c.report(&difference{topic: p.theirs.topic, record: p.index, path: path + "." + name, ours: render(ours.values[j]), theirs: absent})
		}
	}
}
