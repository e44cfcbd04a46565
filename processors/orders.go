package processors

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tailrace/tailrace/kafka"
)

// orders is what this process knows of the control topic: the commands that are due,
// and the ids of the dead letters that are closed. Safe for concurrent use.
type orders struct {
	control Control // nil: there are none

	mu     sync.Mutex // guards the following
	due    map[kafka.TopicPartition]map[string]*order
	closed map[string]bool
	rows   map[string]bool          // the first dead letters of rows, closed with all behind them
	read   map[int32]int64          // the next offset to be read
	moved  chan struct{}            // closed, and made anew, when read changes
	marks  map[string]chan struct{} // that were written and not read yet; closed then
}

// order is a command with its place in the control topic.
type order struct {
	Command
	at int64
}

func newOrders(c Control) *orders {
	return &orders{control: c, due: map[kafka.TopicPartition]map[string]*order{}, closed: map[string]bool{}, rows: map[string]bool{}, read: map[int32]int64{}, moved: make(chan struct{}), marks: map[string]chan struct{}{}}
}

// take reads one record, and returns the partition that has a command due by it.
func (s *orders) take(m *kafka.Message) (tp kafka.TopicPartition, due bool, err error) {
	c, r, err := ReadControl(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c != nil && !s.closed[c.ID] && !s.rows[c.Behind]:
		tp = kafka.TopicPartition{Topic: c.Topic, Partition: c.Partition}
		if s.due[tp] == nil {
			s.due[tp] = map[string]*order{}
		}
		s.due[tp][c.ID] = &order{*c, m.Offset}
		due = true
	case r != nil:
		s.done(r)
	case string(m.Key) == markKey:
		if mark := s.marks[string(m.Value)]; mark != nil {
			delete(s.marks, string(m.Value))
			close(mark)
		}
	}
	s.read[m.Partition] = m.Offset + 1
	close(s.moved)
	s.moved = make(chan struct{})
	return tp, due, err
}

// done notes a result. s.mu is held.
func (s *orders) done(r *Result) {
	closed := r.Outcome.Closed()
	note := func(in map[string]bool) {
		if closed {
			in[r.ID] = true
		} else {
			delete(in, r.ID)
		}
	}
	note(s.closed)
	if r.Row {
		note(s.rows)
	}
	all := closed || r.Outcome == VerdictOpen
	for _, orders := range s.due {
		if o := orders[r.ID]; o != nil && (all || o.Command.Command == r.Command) {
			delete(orders, r.ID)
		}
		if all && r.Row {
			maps.DeleteFunc(orders, func(_ string, o *order) bool { return o.Behind == r.ID })
		}
	}
}

// isClosed tells whether a dead letter was closed, as far as the topic is read.
func (s *orders) isClosed(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed[id]
}

func (s *orders) note(r *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done(r)
}

// of are the commands that are due in a partition, in their order.
func (s *orders) of(tp kafka.TopicPartition) []*order {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*order, 0, len(s.due[tp]))
	for _, o := range s.due[tp] {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b *order) int { return int(a.at - b.at) })
	return list
}

// some tells whether commands are due in any partition.
func (s *orders) some() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, orders := range s.due {
		if len(orders) > 0 {
			return true
		}
	}
	return false
}

func (s *orders) any(tp kafka.TopicPartition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.due[tp]) > 0
}

// sync waits until everything is read that stands in the topic's partition now.
func (s *orders) sync(ctx context.Context, partition int32) error {
	ends, err := s.control.Ends(ctx)
	if err != nil {
		return err
	}
	return s.reach(ctx, partition, ends[partition])
}

func (s *orders) reach(ctx context.Context, partition int32, end int64) error {
	for {
		s.mu.Lock()
		read, moved := s.read[partition], s.moved
		s.mu.Unlock()
		if read >= end {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}

// syncAll waits until everything is read that stands in the topic now.
func (s *orders) syncAll(ctx context.Context) error {
	ends, err := s.control.Ends(ctx)
	if err != nil {
		return err
	}
	for partition, end := range ends {
		if err := s.reach(ctx, partition, end); err != nil {
			return err
		}
	}
	return nil
}

// hear waits until everything is read that others have committed to the topic's
// partition, results in Kafka transactions included. An offset would not show that: EndTxn
// is answered before the partition has the transaction's marker, and compaction removes
// what stands at the end. A mark of our own does, for a committed reader reaches it only
// when every transaction before it has ended.
func (s *orders) hear(ctx context.Context, sources []string, partition int32) error {
	nonce, read := rand.Text(), make(chan struct{})
	s.mu.Lock()
	s.marks[nonce] = read
	s.mu.Unlock()
	err := s.control.Write(ctx, sources, []kafka.Message{{TopicPartition: kafka.TopicPartition{Partition: partition}, Key: []byte(markKey), Value: []byte(nonce)}})
	if err == nil {
		select {
		case <-read:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	s.mu.Lock()
	delete(s.marks, nonce)
	s.mu.Unlock()
	return err
}

// follow reads the control topic until ctx ends, and wakes the owners that have
// something to do.
func (r *Runtime) follow(ctx context.Context) {
	err := r.config.Control.Follow(ctx, func(m kafka.Message) {
		tp, due, err := r.orders.take(&m)
		if err != nil {
			r.log.Warn("a record of the control topic is no command; it is left alone", "error", err)
		}
		if !due {
			return
		}
		r.mu.Lock()
		o := r.owners[tp]
		r.mu.Unlock()
		if o != nil {
			o.wake()
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		r.log.Error("the control topic cannot be followed; commands wait", "error", err)
	}
}

// caughtUpWithin is how long a start waits for the control topic.
const caughtUpWithin = 10 * time.Second

// catchUp waits until what stands in the control topic is read, before the first record is:
// by then it is known which dead letters are closed.
func (r *Runtime) catchUp(ctx context.Context) {
	if r.config.Control == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, caughtUpWithin)
	defer cancel()
	if err := r.orders.syncAll(bounded); err != nil && ctx.Err() == nil {
		r.log.Warn("the control topic could not be read to its end; a dead letter that was closed and fails once more may go on to be listed as closed", "error", err)
	}
}
