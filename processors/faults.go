package processors

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tailrace/tailrace/sinks"
)

// SystemicConfig says when faults of records are taken for a fault of what the
// records meet: so many rows of one topic fail in one way, and they are more
// than this share of the rows that were tried last.
type SystemicConfig struct {
	Rows   int     // 0: never
	Share  float64 // 0.5: more than half
	Window time.Duration
}

// faults watches which rows fail, over batches and over the partitions here: a
// sink that refuses everything refuses a trickle one by one, and each batch alone
// would look like a poison record.
//
// What is looked at are the rows of the batch and, where those are few, the rows
// that were tried before it, up to twice Rows. So a batch of thousands is judged
// by itself, a trickle by its recent past, and one poison in a thousand by
// neither. Rows whose changes are diverted were not tried and do not count. A missing
// base, and a change that is too late, are always the record's own matter: of the latter
// whoever reads a topic again from long ago meets many. Safe for concurrent use.
type faults struct {
	config SystemicConfig

	mu     sync.Mutex // guards the following
	recent map[string][]trial
}

// trial is what became of one row.
type trial struct {
	row   [32]byte
	class sinks.Class // "": it passed
	at    time.Time
}

// judged is a batch with its trials; err is a *sinks.SystemicError.
type judged struct {
	rows []trial // one per row, in the order of their last records
	err  error
}

func newFaults(c SystemicConfig) *faults {
	return &faults{config: c, recent: map[string][]trial{}}
}

// judge looks at the items of a batch that came to the steps. It remembers nothing: a batch that is
// tried again is not counted again.
func (f *faults) judge(topic string, rows parked, items []item) judged {
	if f.config.Rows == 0 {
		return judged{}
	}
	now := time.Now()
	// The last rows, and those that fail, are enough where few fail: of the others no more
	// than their number would count, and that of many.
	order, tried, all := try(rows, items, 2*f.config.Rows, now)
	failed := map[sinks.Class]int{}
	for _, v := range tried {
		if v.class != "" {
			failed[v.class]++
		}
	}
	if !all && slices.ContainsFunc(slices.Collect(maps.Values(failed)), func(n int) bool { return n >= f.config.Rows }) {
		order, tried, all = try(rows, items, len(items), now)
	}
	j := judged{rows: make([]trial, 0, len(order))}
	for i := len(order) - 1; i >= 0; i-- {
		j.rows = append(j.rows, tried[order[i]])
	}
	if all && len(failed) > 0 {
		j.err = f.systemic(topic, items, tried, now)
	}
	return j
}

// try gives the trials of the last rows of a batch, so many at least, and of all that fail,
// in the order of their last records from the end; all says that these are all of its rows.
func try(rows parked, items []item, least int, now time.Time) (order [][32]byte, tried map[[32]byte]trial, all bool) {
	order, tried = make([][32]byte, 0, min(len(items), least)), make(map[[32]byte]trial, min(len(items), least))
	all = true
	for i := len(items) - 1; i >= 0; i-- {
		it := &items[i]
		if it.verdict != passes {
			continue
		}
		if it.fault == nil && len(order) >= least {
			all = false
			continue
		}
		if it.filtered || diverted(rows, it) {
			continue
		}
		v := trial{row: identity(it), at: now}
		if it.fault != nil && it.fault.Class != sinks.ClassMissingBase && it.fault.Code != sinks.CodeLate {
			v.class = it.fault.Class
		}
		if known, ok := tried[v.row]; ok && (v.class == "" || known.class != "") {
			continue // a row that fails once in a batch fails
		} else if !ok {
			order = append(order, v.row)
		}
		tried[v.row] = v
	}
	return order, tried, all
}

// identity is the row of an item; without key, each record is a row of its own.
func identity(it *item) [32]byte {
	if it.keyed {
		return it.row()
	}
	o := uint64(it.message.Offset)
	return [32]byte{0, byte(o), byte(o >> 8), byte(o >> 16), byte(o >> 24), byte(o >> 32), byte(o >> 40), byte(it.message.Partition), byte(it.message.Partition >> 8)}
}

// systemic adds the recent past to what was tried, and counts.
func (f *faults) systemic(topic string, items []item, tried map[[32]byte]trial, now time.Time) error {
	failed, total, before := map[sinks.Class]int{}, len(tried), 0
	for _, v := range tried {
		failed[v.class]++
	}
	f.mu.Lock()
	past := f.recent[topic]
	for i := len(past) - 1; i >= 0 && total < 2*f.config.Rows && now.Sub(past[i].at) <= f.config.Window; i-- {
		if _, again := tried[past[i].row]; !again {
			total++
			failed[past[i].class]++
			before++
		}
	}
	f.mu.Unlock()
	for class, n := range failed {
		if class == "" || n < f.config.Rows || float64(n) <= f.config.Share*float64(total) {
			continue
		}
		for i := range items {
			if fault := items[i].fault; fault != nil && items[i].verdict == passes && fault.Class == class {
				return &sinks.SystemicError{
					Err:  fmt.Errorf("%d of the last %d rows of %s fail with class %s, now at %s: %w", n, total, topic, class, items[i].place(), fault),
					Next: "so many are no accident of single records: mend the cause, the batch is tried again and nothing of it goes to the dead-letter topic; are they poison nevertheless, raise errors.systemic.rows",
				}
			}
		}
	}
	return nil
}

// note remembers a batch that is durable.
func (f *faults) note(topic string, j judged) {
	if f.config.Rows == 0 || len(j.rows) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	keep := 2 * f.config.Rows
	all := append(f.recent[topic], j.rows...)
	// The last trial of a row is the one that counts.
	seen := map[[32]byte]bool{}
	out := make([]trial, 0, keep)
	for i := len(all) - 1; i >= 0 && len(out) < keep; i-- {
		if !seen[all[i].row] {
			seen[all[i].row] = true
			out = append(out, all[i])
		}
	}
	for i, k := 0, len(out)-1; i < k; i, k = i+1, k-1 {
		out[i], out[k] = out[k], out[i]
	}
	f.recent[topic] = out
}
