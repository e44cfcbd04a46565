package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// A slot that a Debezium connector leaves behind is taken over where it stands:
// what the connector has published is read from the ends of its topics, and the
// stream, which begins at the slot's confirmed LSN, passes over exactly that.
//
// How far the connector came is known for each partition by itself. A record
// tells the end of the commit before its transaction (the first half of
// source.sequence), its transaction and its LSN. So of what the stream sends for
// that partition, everything of a transaction that commits before that end was
// published, and of the record's own transaction everything with a smaller LSN;
// changes of one COPY share an LSN, so those with that very LSN are counted.
//
// What can go wrong:
//
//   - Debezium still runs: the slot is in use, and this relay stays a standby. If
//     it is started again later, its slot is in use.
//   - It died, and the acknowledgements of its last records came out of order: one
//     partition has a later record than another. Each partition is judged by its
//     own end, so nothing is taken for published because of a neighbour.
//   - It died and repeated its last records when it came back: the numbers that
//     count are LSNs, which a repetition does not move. Only changes of one COPY
//     that were repeated as the very last thing could be counted twice.
//   - It died between a delete and its tombstone: that tombstone is missing, as it
//     would be with Debezium's own restart from an offset behind the delete.
//   - It died in its initial snapshot: no record says that it was the last one.
//     Refused: rows would be missing.
//   - Its topics are empty, or name is not its topic.prefix: refused, since all
//     rows of before would be missing without a word.
//   - The topics tell of LSNs that the server has not written: another server, or
//     one that was rolled back. Refused.
//   - The slot is ahead of the topics: that is how a connector leaves it that
//     published everything, and cannot be told from a slot that somebody advanced.
//   - Partitions are chosen in another way than Debezium chose them: a record would
//     be judged by the end of a partition that it never went to. So adoption needs
//     the partitioner debezium. Records without key, whose partition Debezium leaves
//     to chance, are judged by the end of their topic: exact after a connector that
//     was stopped, and for topics of one partition. Of one that was killed, such
//     records can be missing, if their partition was behind another.
//
// The result stands in the progress record, with everything else that follows,
// until the stream is past what the connector can have seen.

// Keyless stands for a partition where records without key are meant: Debezium
// leaves theirs to chance.
const Keyless int32 = -1

// Adopted is what a record of Debezium's says of how far it had come.
type Adopted struct {
	XID      uint32 // source.txId; 0: null. Of transaction metadata the first half of id
	LSN      LSN    // source.lsn; 0: null. Of transaction metadata the second half of id
	After    LSN    // the first half of source.sequence; 0: null
	Snapshot string // source.snapshot; of a streamed record "" or "false"
	Status   string // of transaction metadata: BEGIN or END
}

// Streamed tells whether the record is of the stream, not of a snapshot.
func (a *Adopted) Streamed() bool { return a.Snapshot == "" || a.Snapshot == "false" }

// Tail is the end of one partition that Debezium wrote.
type Tail struct {
	Topic     string
	Partition int32 // Keyless: of all the topic's records without key
	Last      Adopted
	Events    int     // records at the end with Last's transaction and LSN, tombstones aside
	Before    Adopted // the record before those; zero: there is none
}

// Adoption is what a Debezium had published when its slot was taken over.
type Adoption struct {
	Until  LSN     `json:"until"`  // what commits later, it cannot have seen
	Last   LSN     `json:"last"`   // the end of the last commit before the slot's LSN that its records name
	Points []Point `json:"points"` // by topic and partition
}

// Point is how far one partition came: everything of transactions that commit
// before After, and of transaction XID everything before LSN, and so many events
// at it.
type Point struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	After     LSN    `json:"after"`
	XID       uint32 `json:"xid"`
	LSN       LSN    `json:"lsn"`
	Events    int    `json:"events"`
}

// newAdoption judges the ends of the topics. confirmed is where the slot stands,
// written how far the server's WAL goes.
func newAdoption(tails []Tail, confirmed, written LSN) (*Adoption, error) {
	a := &Adoption{Until: written}
	complete := false
	for i := range tails {
		t := &tails[i]
		if t.Last.LSN > written {
			return nil, &StopError{What: fmt.Sprintf("topic %s has a record of %s, which the server has not written yet (%s)", t.Topic, t.Last.LSN, written),
				Next: "point the relay at the server that Debezium read, and find out whether its storage was rolled back"}
		}
		if !t.Last.Streamed() {
			complete = complete || t.Last.Snapshot == "last"
			continue
		}
		complete = true
		p := Point{Topic: t.Topic, Partition: t.Partition, After: t.Last.After, XID: t.Last.XID, LSN: t.Last.LSN, Events: t.Events}
		if t.Last.Status == "END" {
			p = Point{Topic: t.Topic, Partition: t.Partition, After: t.Last.LSN}
		}
		if p.After <= confirmed {
			a.Last = max(a.Last, p.After)
		}
		a.Points = append(a.Points, p)
	}
	switch {
	case len(tails) == 0:
		return nil, &StopError{What: "no topic of this name has a record of Debezium's",
			Next: "set name to the connector's topic.prefix; or leave postgres.slot.adopt out and choose snapshot.mode: never to begin where the slot stands"}
	case !complete:
		return nil, &StopError{What: "Debezium has not finished its initial snapshot",
			Next: "let it finish, or drop its slot and topics and let the relay begin with a snapshot of its own"}
	}
	a.completeBegins(tails)
	return a, nil
}

// completeBegins finds what came before a BEGIN, which does not say it: the last
// END that is known. (Where a connector was killed, that END can be lost; then
// begins and ends of before can come twice.)
func (a *Adoption) completeBegins(tails []Tail) {
	var ended LSN
	for i := range tails {
		for _, r := range []*Adopted{&tails[i].Last, &tails[i].Before} {
			if r.Status == "END" {
				ended = max(ended, r.LSN)
			}
		}
	}
	for i := range a.Points {
		if begins := slices.ContainsFunc(tails, func(t Tail) bool {
			return t.Topic == a.Points[i].Topic && t.Partition == a.Points[i].Partition && t.Last.Status == "BEGIN"
		}); begins {
			a.Points[i].After = ended
		}
	}
}

// passes tells whether an event was published before the slot was adopted. tx is
// nil for a message outside of transactions, which counts as a commit in what
// Debezium says came before.
func (a *Adoption) passes(topic string, partition int32, tx *Transaction, lsn LSN, r *Relay) bool {
	if a == nil {
		return false
	}
	at := slices.IndexFunc(a.Points, func(p Point) bool { return p.Topic == topic && p.Partition == partition })
	if at < 0 {
		return false
	}
	p := &a.Points[at]
	switch {
	case tx == nil:
		return lsn <= p.After
	case tx.CommitLSN < p.After:
		return true
	case tx.XID != p.XID || lsn > p.LSN:
		return false
	case lsn < p.LSN:
		return true
	case p.Events == 0:
		return false
	}
	// The progress records that were handed out keep theirs.
	left := *a
	left.Points = slices.Clone(a.Points)
	left.Points[at].Events--
	r.adopt(&left)
	return true
}

// adopt puts what is left to pass over into the loop and its next progress.
func (r *Relay) adopt(a *Adoption) { r.adopted, r.tracker.next.Adopted = a, a }

// overtake forgets the adoption when the stream is past everything that Debezium
// can have published.
func (r *Relay) overtake(lsn LSN) {
	if r.adopted != nil && lsn > r.adopted.Until {
		r.adopt(nil)
		r.Logger.Info("the stream is past what Debezium had published", "lsn", lsn.String())
	}
}

// adopt takes a Debezium's slot over: the record of that is durable when it
// returns. Its tables count as read, those that the publication gets only now do
// not.
func (st *Starter) adopt(ctx context.Context, r *Relay, sys System, slot *Slot, done map[string]Cursor) (*Progress, error) {
	if !r.Config.WholeKey {
		return nil, &StopError{What: "postgres.slot.adopt needs kafka.partitioner: debezium, since records would go to other partitions than before", Next: "set it"}
	}
	tails, err := st.Memory.Tails(ctx)
	if err != nil {
		return nil, err
	}
	p := st.progress(sys, slot.Confirmed)
	if p.Adopted, err = newAdoption(tails, slot.Confirmed, sys.Position); err != nil {
		return nil, err
	}
	if p.Since, err = st.Database.Since(ctx); err != nil {
		return nil, err
	}
	tables, err := st.Database.Published(ctx)
	if err != nil {
		return nil, err
	}
	for name, oid := range tables {
		cursor := Cursor{Version: 1, OID: oid, At: slot.Confirmed, Epoch: p.Current().Epoch}
		v, err := json.Marshal(cursor)
		if err != nil {
			return nil, fmt.Errorf("cursor of %s: %w", name, err)
		}
		if err := r.Log.Note(ctx, Note{Key: snapshotPrefix + name, Value: v}); err != nil {
			return nil, err
		}
		done[name] = cursor
	}
	if err := r.Log.Commit(ctx, p); err != nil {
		return nil, err
	}
	r.Logger.Info("adopted the slot of a Debezium connector", "slot", slot.Name, "confirmed", slot.Confirmed.String(), "published", p.Adopted.Last.String(), "partitions", len(p.Adopted.Points))
	return &p, nil
}
