package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailrace/tailrace/kafka"
)

// Runtime runs one pipeline in this process. It is the kafka.Owner of the
// partitions that its member of the group is given.
type Runtime struct {
	config  Config
	log     *slog.Logger
	circuit *circuit
	limiter *limiter
	faults  *faults
	orders  *orders
	metrics *metrics
	shapes  *shapes
	slots   chan struct{}
	source  Source

	mu       sync.Mutex // guards the following
	owners   map[kafka.TopicPartition]*owner
	refused  map[kafka.TopicPartition]error // assigned, and stopped before reading began
	joined   bool                           // partitions were assigned at least once
	draining bool
	claiming error // why partitions that were given cannot be claimed; nil: they are
	waiting  []string
	log0     error // the log's own trouble
	outside  outside
	ends     map[kafka.TopicPartition]int64
	sent     map[kafka.TopicPartition]int64 // offsets that the group has

	regained  []regained // owners that the next poll begins anew
	seeks     []*owner   // whose reading the next poll makes go on elsewhere
	interrupt func()     // ends the poll that waits

	tasks map[int32]*task // of the protocol in the sink

	entityPartitions atomic.Int32 // of the internal topic
}

// New makes a Runtime and registers its metrics.
func New(c Config) *Runtime {
	r := &Runtime{
		config: c, log: c.Log, circuit: newCircuit(c.Circuit), limiter: newLimiter(c.Rate), faults: newFaults(c.Systemic), orders: newOrders(c.Control), shapes: newShapes(), slots: make(chan struct{}, c.Parallel),
		owners: map[kafka.TopicPartition]*owner{}, refused: map[kafka.TopicPartition]error{},
		tasks: map[int32]*task{}, ends: map[kafka.TopicPartition]int64{}, sent: map[kafka.TopicPartition]int64{}, interrupt: func() {},
	}
	r.metrics = newMetrics(c.Registry, r)
	return r
}

// commitEvery is how far the group's offsets may stay behind the sink's.
const commitEvery = 5 * time.Second

// Run polls source, whose owner this Runtime is, until ctx ends. Then it lets
// the batches under way finish, commits the group's offsets, and leaves.
func (r *Runtime) Run(ctx context.Context, source Source) error {
	r.source = source
	if err := source.Join(); err != nil {
		return err
	}
	poll, stopPoll := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	if r.config.Control != nil {
		beside.Go(func() { r.follow(poll) })
	}
	failed := make(chan error, 1)
	go func() {
		r.catchUp(poll)
		failed <- r.poll(poll)
	}()
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	var err error
	for waiting := true; waiting; {
		select {
		case <-ctx.Done():
			waiting = false
		case err = <-failed:
			failed <- err
			waiting = false
		case <-look.C:
			r.lookForTopics(ctx, source)
			look.Reset(commitEvery)
		case <-tick.C:
			r.commitAll(ctx)
			r.refreshEnds(ctx, source)
		}
	}
	r.drain()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.DrainTimeout)
	defer cancel()
	r.commitAll(bounded)
	if leave := source.Leave(bounded); leave != nil {
		r.log.Warn("leaving the group failed; it notices after the session timeout", "error", leave)
	}
	stopPoll()
	beside.Wait()
	source.Close()
	if err = <-failed; errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// poll hands messages to their owners. It never waits for one.
func (r *Runtime) poll(ctx context.Context) error {
	for {
		wait, cancel := r.polling(ctx)
		fetched, err := r.source.Poll(wait)
		interrupted := wait.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !interrupted {
			return err
		}
		for _, f := range fetched {
			r.mu.Lock()
			o := r.owners[f.TopicPartition]
			r.mu.Unlock()
			r.noteFetch(f, o)
			if o != nil && len(f.Messages) > 0 {
				o.give(f.Messages)
			}
		}
	}
}

// noteFetch settles what came in place of messages.
func (r *Runtime) noteFetch(f kafka.Fetched, o *owner) {
	var group *kafka.GroupError
	switch {
	case f.Err == nil:
	case errors.Is(f.Err, kafka.ErrLost):
		r.lost(f, o)
	case errors.As(f.Err, &group):
		r.mu.Lock()
		known := r.outside.err != nil && r.outside.err.Error() == group.Error()
		r.outside = outside{group, time.Now()}
		r.mu.Unlock()
		if !known {
			r.log.Warn(group.Error())
		}
	default:
		r.noteLog(fmt.Errorf("%s: %w", f.TopicPartition, f.Err))
	}
}

// outside is why this process is no member of its group, and when that was said last.
// The client tries every few seconds; what is older is over.
type outside struct {
	err error
	at  time.Time
}

const outsideFor = 15 * time.Second

// noteLog remembers, and says once, what the log answers.
func (r *Runtime) noteLog(err error) {
	r.mu.Lock()
	known := r.log0 != nil && err != nil && r.log0.Error() == err.Error()
	was := r.log0
	r.log0 = err
	r.mu.Unlock()
	switch {
	case err != nil && !known:
		r.log.Warn("the log cannot be read; trying again", "error", err)
	case err == nil && was != nil:
		r.log.Info("the log can be read again")
	}
}

// lookForTopics says once which of the topics do not exist yet.
func (r *Runtime) lookForTopics(ctx context.Context, source Source) {
	bounded, cancel := context.WithTimeout(ctx, commitEvery)
	defer cancel()
	missing, err := source.Missing(bounded)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.noteLog(err)
		return
	}
	r.noteLog(nil)
	if e := r.config.Entity; e != nil { // it is made when partitions are given
		missing = slices.DeleteFunc(missing, func(topic string) bool { return topic == e.Topic })
	}
	r.mu.Lock()
	was := r.waiting
	r.waiting = missing
	r.mu.Unlock()
	if len(missing) > 0 && !slices.Equal(was, missing) {
		r.log.Info("waiting for topics that do not exist yet; the relay makes them with their first record", "topics", missing)
	}
}

// commitAll commits what changed since the last time to the group.
func (r *Runtime) commitAll(ctx context.Context) {
	r.mu.Lock()
	offsets := map[kafka.TopicPartition]int64{}
	for tp, o := range r.owners {
		if next := o.committable(); next >= 0 && r.sent[tp] != next {
			offsets[tp] = next
		}
	}
	r.mu.Unlock()
	r.commit(ctx, offsets)
}

func (r *Runtime) commit(ctx context.Context, offsets map[kafka.TopicPartition]int64) {
	if len(offsets) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, commitEvery)
	defer cancel()
	if err := r.source.Commit(bounded, offsets); err != nil {
		r.log.Warn("the group's offsets stay behind for now; the sink has its own", "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for tp, next := range offsets {
		r.sent[tp] = next
	}
}

// refreshEnds asks where the partitions end, for the lag.
func (r *Runtime) refreshEnds(ctx context.Context, source Source) {
	r.mu.Lock()
	parts := make([]kafka.TopicPartition, 0, len(r.owners))
	now := time.Now()
	for tp, o := range r.owners {
		parts = append(parts, tp)
		o.mu.Lock()
		o.rate.look(o.next, now)
		o.mu.Unlock()
	}
	r.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ends, err := source.Ends(bounded, parts)
	if err != nil {
		return // the lag that is known stays; lookForTopics says what is wrong
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = ends
}

// drain lets all batches under way finish.
func (r *Runtime) drain() {
	r.mu.Lock()
	r.draining = true
	owners := make([]*owner, 0, len(r.owners))
	for _, o := range r.owners {
		owners = append(owners, o)
	}
	r.mu.Unlock()
	r.release(owners)
}

// release ends owners, all at once, within the drain timeout.
func (r *Runtime) release(owners []*owner) {
	ctx, cancel := context.WithTimeout(context.Background(), r.config.DrainTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, o := range owners {
		all.Go(func() { o.release(ctx) })
	}
	all.Wait()
}

// topics are the topics of the partitions here.
func (r *Runtime) topics() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var topics []string
	for tp := range r.owners {
		if !slices.Contains(topics, tp.Topic) {
			topics = append(topics, tp.Topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// minBudget is what a partition may hold at least.
const minBudget = 256 << 10

func (r *Runtime) budget() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(minBudget, int(r.config.InFlightBytes)/max(1, len(r.owners)))
}
