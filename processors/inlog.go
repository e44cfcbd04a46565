package processors

// How a batch commits: the protocol "in the log", from topics to topics.
//
//	poll → decode → gate by row → steps → one Kafka transaction of the session:
//	    outputs, dead letters, the changelog of the state, the group's offsets
//	→ EndTxn → the overlay becomes the state
//
// What a crash leaves at each point, and the test that makes it so:
//
//	killed after                    log         state            on restart
//	produce, before EndTxn          aborted     overlay dropped  the batch again, once visible           TestCrashInTheLogProduceBeforeEndTxn
//	EndTxn unknown                  either      overlay dropped  state is rebuilt from the committed     TestCrashInTheLogEndTxnUnknown
//	                                                             changelog, then the offset decides
//	EndTxn, before the overlay      committed   local behind     the changelog's suffix is read          TestCrashInTheLogEndTxnBeforeTheOverlayIsApplied
//	is applied
//
// A session is one member of the group with one transactional id. There are several
// in a process, so that one works while another waits for its EndTxn. A session's
// goroutine does all the work of its partitions; what has to be shared is the state
// of a task: the partitions with one number of all topics, which the group gives to
// one session together.
//
// Nothing of a batch is kept but what is committed: an abort makes the client read
// again from the committed offsets, and drops the overlays.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// LogSession is a transactional member of the group. *kafka.Session is one.
type LogSession interface {
	Source
	// Claim ends what a predecessor left open. It comes before Join.
	Claim(ctx context.Context) error
	// PollSome is Poll for at most limit messages.
	PollSome(ctx context.Context, limit int) ([]kafka.Fetched, error)
	Begin(ctx context.Context) error
	Send(records []kafka.Message)
	// Flush says where the transaction's records end; a *kafka.SendError names one
	// that was refused.
	Flush(ctx context.Context) (map[kafka.TopicPartition]int64, error)
	// End commits. It answers false without an error when the transaction was
	// aborted; after an error its outcome is not known.
	End(ctx context.Context, offsets map[kafka.TopicPartition]kafka.Stored) (bool, error)
	Abort(ctx context.Context) error
	Seek(tp kafka.TopicPartition, offset int64)
	// Owned are the partitions that the session has now. The Owner is not always told
	// that one was taken away, and the brokers store an offset for whoever is a member.
	Owned() map[kafka.TopicPartition]bool
}

// Changelog is the topic of the state. *kafka.Changelog is one.
type Changelog interface {
	Topic() string
	Prepare(ctx context.Context, partitions int32) (kafka.ChangelogInfo, error)
	// End is where a partition ends.
	End(ctx context.Context, partition int32) (int64, error)
	// Read reads what is committed from an offset to the end, which it returns.
	Read(ctx context.Context, partition int32, from int64, take func(key, value []byte) error) (next int64, err error)
}

// Outputs makes records of what the steps give. Its errors are *sinks.RecordError,
// *cdc.StopError, or may pass by themselves.
type Outputs interface {
	// Append appends the records of a change, each with its topic and partition.
	Append(ctx context.Context, dst []sinks.Record, c *sinks.Change, in *sinks.Source) ([]sinks.Record, error)
}

// LetterBox is where dead letters go in the transaction of their batch.
// *kafka.DeadLetters is one.
type LetterBox interface {
	// Topic makes sure that the topic has a partition for each letter, and names it.
	Ready(ctx context.Context, sources []string, letters []kafka.Message) (topic string, err error)
}

// LogConfig is what the protocol in the log needs beyond Config.
type LogConfig struct {
	Sessions  int // in this process
	Session   func(n int, owner kafka.Owner) (LogSession, error)
	Changelog Changelog
	Outputs   func() Outputs // of one session
	Letters   LetterBox
	// Fault, when set by a test, is asked at each point of a round; an error ends the
	// session as a crash would.
	Fault func(point string) error
}

// logWorker is one session with its partitions.
type logWorker struct {
	runtime *Runtime
	number  int
	session LogSession
	outputs Outputs
	records []sinks.Record // of the round, used again
	// careful sends one record at a time: the brokers refuse batches, and one of them
	// has a record that is too large.
	careful bool
	size    int // messages that a round takes at most
}

// fewMessages is how many messages a round has at least room for, and a careful one at
// most.
const fewMessages = 100

// roundWithin is how long a round may take: a rebalance makes all of it void, and
// readers of the outputs wait for it.
const roundWithin = 200 * time.Millisecond

// adapt makes rounds shorter that take too long, or were in vain: on a machine that has
// no time, a member would be put out of the group again and again before it is through.
func (w *logWorker) adapt(rd *round, committed bool) {
	most := w.runtime.config.BatchRows * 4
	n := 0
	for _, p := range rd.parts {
		n += len(p.messages)
	}
	switch {
	case !committed || time.Since(rd.started) > roundWithin:
		w.size = max(fewMessages, min(w.size, max(n, fewMessages))/2)
	case 2*n >= w.size:
		w.size = min(most, 2*w.size)
	}
}

// round is what one transaction makes durable.
type round struct {
	parts   []*part
	tasks   map[*task]*state.Overlay
	records []kafka.Message
	of      []source // parallel to records
	started time.Time
}

// part is a round's share of one partition.
type part struct {
	owner    *owner
	plan     *plan
	messages []kafka.Message
	next     int64
	control  bool // nothing but ends of transactions
	judged   judged
	stop     error // why the message behind them must not be passed
}

// source says which message a record of the round comes from; nil: none alone.
type source struct {
	part    *part
	message *kafka.Message
}

// errRestart says that the session has to end and the next one to begin: what became
// of a transaction is not known.
var errRestart = errors.New("the outcome of a transaction is not known")

// work does rounds until ctx ends, or the session has to.
func (w *logWorker) work(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, w.patience())
		fetched, err := w.session.PollSome(wait, w.limit())
		cancel()
		if err != nil && wait.Err() == nil {
			return err
		}
		w.resume()
		if err := w.round(ctx, fetched); err != nil {
			return err
		}
	}
	return nil
}

// limit is how many messages a round has at most.
func (w *logWorker) limit() int {
	if w.careful {
		return fewMessages
	}
	return w.size
}

// patience is how long a poll may wait: until a partition is to be tried again, or
// offsets that only passed ends of transactions are to be stored.
func (w *logWorker) patience() time.Duration {
	d := settleAfter
	for _, o := range w.mine() {
		if at := o.retryAt; !at.IsZero() {
			d = min(d, max(time.Until(at), time.Millisecond))
		}
		if o.task.isReady() && o.first {
			d = min(d, 100*time.Millisecond)
		}
	}
	return d
}

// mine are the owners of this session.
func (w *logWorker) mine() []*owner {
	r := w.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*owner
	for _, o := range r.owners {
		if o.source == w.session {
			out = append(out, o)
		}
	}
	return out
}

// resume makes partitions be read again whose pause is over.
func (w *logWorker) resume() {
	for _, o := range w.mine() {
		if !o.retryAt.IsZero() && !time.Now().Before(o.retryAt) && o.task.isReady() {
			o.retryAt = time.Time{}
			w.session.Resume(o.tp)
		}
	}
}

// round takes what was polled through the pipeline and commits it.
func (w *logWorker) round(ctx context.Context, fetched []kafka.Fetched) error {
	rd := &round{tasks: map[*task]*state.Overlay{}, started: time.Now()}
	if len(fetched) > 0 {
		if err := w.fault("poll"); err != nil {
			return err
		}
	}
	for i := range fetched {
		if err := w.take(ctx, rd, &fetched[i]); err != nil {
			return err
		}
	}
	w.settle(rd)
	w.expire(rd)
	if !rd.worthwhile() {
		return nil
	}
	return w.commitRound(ctx, rd)
}

// take makes a fetch a part of the round.
func (w *logWorker) take(ctx context.Context, rd *round, f *kafka.Fetched) error {
	r := w.runtime
	r.mu.Lock()
	o := r.owners[f.TopicPartition]
	r.mu.Unlock()
	if f.Err != nil {
		if errors.Is(f.Err, kafka.ErrLost) {
			r.lost(*f, o)
		} else {
			r.noteLog(fmt.Errorf("%s: %w", f.TopicPartition, f.Err))
		}
	}
	if o == nil || o.source != w.session || len(f.Messages) == 0 {
		return nil
	}
	if !o.task.isReady() || o.isStopped() || !o.retryAt.IsZero() {
		w.session.Seek(o.tp, o.position()) // polled before the pause took hold
		return nil
	}
	p, err := w.prepare(ctx, rd, o, f.Messages)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.holdBack(o, err)
		return nil
	}
	rd.parts = append(rd.parts, p)
	return nil
}

// holdBack leaves a partition alone for a while, or for good; the others go on.
func (w *logWorker) holdBack(o *owner, err error) {
	w.session.Seek(o.tp, o.position())
	if cdc.Stopped(err) {
		o.end(err)
		o.log.Error("the partition is stopped; the others go on", "error", err)
		return
	}
	if o.tries.count == 0 {
		o.tries = attempts{first: time.Now()}
		o.wait = backoff{config: w.runtime.config.Retry}
	}
	o.tries.count++
	if limit := w.runtime.config.Retry.GiveUpAfter; limit > 0 && time.Since(o.tries.first) >= limit {
		o.end(&cdc.StopError{What: fmt.Sprintf("gave up after %d tries", o.tries.count), Pos: o.tp.String(), Err: err, Next: "mend the cause and restart; errors.retry.give_up_after: 0s never gives up"})
		return
	}
	o.failing(err)
	o.retryAt = time.Now().Add(o.wait.next())
}

// prepare decodes the messages of a partition, takes them through gate, steps and
// plan, and makes the records of the round. What fails leaves no trace.
func (w *logWorker) prepare(ctx context.Context, rd *round, o *owner, messages []kafka.Message) (*part, error) {
	messages = o.fresh(messages)
	p := &part{owner: o, messages: messages, next: o.position()}
	if len(messages) == 0 {
		return p, nil
	}
	overlay := rd.tasks[o.task]
	if overlay == nil {
		overlay = state.NewOverlay(o.task.replica.Memory)
	}
	mark, records := overlay.Mark(), len(rd.records)
	for again := true; again; {
		var err error
		overlay.Rollback(mark)
		rd.records, rd.of = rd.records[:records], rd.of[:records]
		if again, err = w.fill(ctx, rd, p, overlay); err != nil {
			overlay.Rollback(mark)
			rd.records, rd.of = rd.records[:records], rd.of[:records]
			return nil, err
		}
	}
	rd.tasks[o.task] = overlay
	return p, nil
}

// fill makes the records of a part. again says that a record was found to be faulty,
// and that all of it has to be done anew without it.
func (w *logWorker) fill(ctx context.Context, rd *round, p *part, overlay *state.Overlay) (again bool, err error) {
	o := p.owner
	p.next = p.messages[len(p.messages)-1].Offset + 1
	items, err := o.admit(ctx, p.messages, overlay)
	if err != nil {
		return false, err
	}
	p.control = len(items) == 0
	p.judged = o.faults.judge(o.tp.Topic, o.parked, ungated(items))
	if p.judged.err != nil {
		return false, p.judged.err
	}
	p.plan = o.plan(items, p.next, attempts{count: o.tries.count + 1, first: o.tries.first})
	if p.plan.stop != nil { // what stands behind has left its traces in the state: anew, without it
		if p.messages = before(p.messages, p.plan.batch.Next); len(p.messages) == 0 {
			return false, p.plan.stop
		}
		p.stop = p.plan.stop
		return true, nil
	}
	refused, err := w.encode(ctx, rd, p)
	if err != nil {
		return false, err
	}
	if refused != nil { // what the steps gave has no form as a record
		o.blamed[refused.message.Offset] = refused.fault
		return true, nil
	}
	o.mark(p.plan, overlay)
	return false, w.letters(ctx, rd, p)
}

// ungated are the items that came to the steps.
func ungated(items []item) []item {
	out := make([]item, 0, len(items))
	for i := range items {
		if items[i].verdict == passes {
			out = append(out, items[i])
		}
	}
	return out
}

// before are the messages that stand before an offset.
func before(messages []kafka.Message, offset int64) []kafka.Message {
	for i := range messages {
		if messages[i].Offset >= offset {
			return messages[:i]
		}
	}
	return messages
}

// encode makes the records of a plan's changes.
func (w *logWorker) encode(ctx context.Context, rd *round, p *part) (*item, error) {
	in := sinks.Source{Record: &sinks.Record{}, Partitions: p.owner.of}
	var last *item
	for i, c := range p.plan.batch.Changes {
		it := p.plan.items[i]
		if it != last {
			last = it
			recordOf(in.Record, it.message)
			in.Snapshot, in.LSN, in.TxID, in.Time = it.extra.source.Snapshot, it.extra.source.LSN, it.extra.source.TxID, it.extra.source.Time
		}
		if c.Floor != nil {
			continue // it has become a delete of each of its rows
		}
		var err error
		w.records, err = w.outputs.Append(ctx, w.records[:0], c, &in)
		var fault *sinks.RecordError
		if errors.As(err, &fault) {
			it.fault = fault
			return it, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", it.place(), err)
		}
		for j := range w.records {
			rd.add(messageOf(&w.records[j]), source{p, it.message})
		}
	}
	return nil, nil
}

func (rd *round) add(m kafka.Message, from source) {
	rd.records = append(rd.records, m)
	rd.of = append(rd.of, from)
}

// letters adds a plan's dead letters.
func (w *logWorker) letters(ctx context.Context, rd *round, p *part) error {
	if len(p.plan.batch.DeadLetters) == 0 {
		return nil
	}
	letters := messagesOf(p.plan.batch.DeadLetters)
	topic, err := w.runtime.config.InLog.Letters.Ready(ctx, w.runtime.topics(), letters)
	if err != nil {
		return err
	}
	for _, m := range letters {
		m.Topic = topic
		rd.add(m, source{})
	}
	return nil
}

// settle adds partitions whose offset is not stored: those that begin, and those that
// have only passed ends of transactions for a while.
func (w *logWorker) settle(rd *round) {
	has := map[*owner]bool{}
	for _, p := range rd.parts {
		has[p.owner] = true
	}
	owned := w.session.Owned()
	for _, o := range w.mine() {
		if !owned[o.tp] {
			continue
		}
		if has[o] && !o.first || !o.task.isReady() || o.isStopped() || !o.retryAt.IsZero() {
			continue
		}
		if o.first {
			overlay := rd.tasks[o.task]
			if overlay == nil {
				overlay = state.NewOverlay(o.task.replica.Memory)
				rd.tasks[o.task] = overlay
			}
			overlay.Put(o.sourceKey(), []byte(o.topicID))
		}
		if o.first || o.position() != o.expect && time.Since(o.moved) >= settleAfter {
			if !has[o] {
				rd.parts = append(rd.parts, &part{owner: o, next: o.position()})
			}
		}
	}
}

// worthwhile tells whether there is something to commit, beyond the ends of other
// transactions.
func (rd *round) worthwhile() bool {
	worth := len(rd.records) > 0
	for _, o := range rd.tasks {
		worth = worth || o.Dirty()
	}
	for _, p := range rd.parts {
		worth = worth || !p.control
	}
	if worth {
		return true
	}
	for _, p := range rd.parts {
		if p.owner.position() == p.owner.expect {
			p.owner.moved = rd.started
		}
		p.owner.passed(p.next) // stored with the next batch, or by settle
	}
	return false
}

// commitRound is one Kafka transaction.
func (w *logWorker) commitRound(ctx context.Context, rd *round) error {
	r := w.runtime
	for t, overlay := range rd.tasks {
		for _, e := range overlay.Changes() {
			rd.add(kafka.Message{TopicPartition: kafka.TopicPartition{Topic: r.config.InLog.Changelog.Topic(), Partition: t.number}, Time: rd.started, Key: e.Key.Append(nil), Value: e.Value}, source{})
		}
	}
	if err := w.fault("changelog"); err != nil {
		return err
	}
	if err := w.session.Begin(ctx); err != nil {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	if !w.careful {
		w.session.Send(rd.records)
	}
	if err := w.fault("produce"); err != nil {
		return err
	}
	// From here on, the end of the process's context does not end the transaction: it
	// takes as long as the brokers let it.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	ends, err := w.flush(bounded, rd)
	if err != nil {
		return w.aborted(bounded, rd, err)
	}
	offsets := map[kafka.TopicPartition]kafka.Stored{}
	for _, p := range rd.parts {
		offsets[p.owner.tp] = kafka.Stored{Offset: p.next, Metadata: p.owner.metadata(ends, r.config.InLog.Changelog.Topic())}
	}
	if err := w.fault("offsets"); err != nil {
		return err
	}
	committed, err := w.session.End(bounded, offsets)
	if err == nil {
		err = w.fault("end")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errRestart, err)
	}
	w.adapt(rd, committed)
	if !committed {
		w.rewound(rd)
		return nil
	}
	w.applied(rd, ends)
	return nil
}

// flush waits until the records are acknowledged.
func (w *logWorker) flush(ctx context.Context, rd *round) (map[kafka.TopicPartition]int64, error) {
	if !w.careful {
		return w.session.Flush(ctx)
	}
	var ends map[kafka.TopicPartition]int64
	for i := range rd.records {
		w.session.Send(rd.records[i : i+1])
		var err error
		if ends, err = w.session.Flush(ctx); err != nil {
			var refused *kafka.SendError
			if errors.As(err, &refused) {
				refused.Index = i
			}
			return nil, err
		}
	}
	return ends, nil
}

// commitWithin bounds the end of a transaction; the brokers end it themselves
// before.
const commitWithin = 30 * time.Second

// aborted ends a transaction of which a record was not taken. One that is too large
// is its message's own fault; anything else may pass by itself.
func (w *logWorker) aborted(ctx context.Context, rd *round, cause error) error {
	var refused *kafka.SendError
	if !errors.As(cause, &refused) {
		return fmt.Errorf("%w: %w", errRestart, cause)
	}
	if err := w.session.Abort(ctx); err != nil {
		return fmt.Errorf("%w: %w", errRestart, errors.Join(cause, err))
	}
	w.rewound(rd)
	large := kafka.TooLarge(refused.Err)
	if large && !w.careful {
		w.careful = true
		return nil
	}
	if from := rd.of[refused.Index]; large && from.message != nil {
		from.part.owner.blamed[from.message.Offset] = &sinks.RecordError{Class: sinks.ClassTooLarge, Reason: "what the record becomes is larger than the output topic takes: " + refused.Err.Error(),
			Next: "raise the topic's max.message.bytes"}
		return nil
	}
	for _, p := range rd.parts {
		w.holdBack(p.owner, cause)
	}
	return nil
}

// rewound forgets a round that was aborted: the client reads again from the offsets
// that are committed, and so does each owner.
func (w *logWorker) rewound(rd *round) {
	for _, p := range rd.parts {
		p.owner.passed(p.owner.expect)
		w.session.Seek(p.owner.tp, p.owner.expect)
	}
	w.runtime.log.Debug("a transaction was aborted; its records are read again", "partitions", len(rd.parts))
}

// applied lets memory follow a durable round.
func (w *logWorker) applied(rd *round, ends map[kafka.TopicPartition]int64) {
	now := time.Now()
	w.careful = false
	for t, overlay := range rd.tasks {
		t.replica.Memory.Apply(overlay.Changes())
		t.replica.As = now
		if end := ends[kafka.TopicPartition{Topic: w.runtime.config.InLog.Changelog.Topic(), Partition: t.number}]; end > 0 {
			t.replica.Next = end
		}
	}
	for _, p := range rd.parts {
		o := p.owner
		o.expect, o.first, o.moved = p.next, false, now
		o.passed(p.next)
		if o.tries.count > 0 {
			o.recovered(o.tries)
			o.tries = attempts{}
		}
		clear(o.blamed)
		if p.plan == nil {
			continue
		}
		o.parked = p.plan.next
		o.faults.note(o.tp.Topic, p.judged)
		o.metrics.committed(p.plan, sinks.Result{Outcomes: make([]sinks.Outcome, len(p.plan.batch.Changes))})
		o.mu.Lock()
		o.parkedRows = len(o.parked)
		o.mu.Unlock()
		if n := len(p.plan.batch.DeadLetters); n > 0 {
			o.log.Warn("records went to the dead-letter topic", "records", n, "parked_rows", len(o.parked), "classes", p.plan.classes)
		}
		if p.stop != nil {
			w.holdBack(o, p.stop)
		}
	}
	w.runtime.metrics.seconds.Observe(now.Sub(rd.started).Seconds())
}

func (w *logWorker) fault(point string) error {
	if f := w.runtime.config.InLog.Fault; f != nil {
		return f(point)
	}
	return nil
}

func recordOf(r *sinks.Record, m *kafka.Message) {
	r.Topic, r.Partition, r.Offset, r.Timestamp, r.Key, r.Value = m.Topic, m.Partition, m.Offset, m.Time, m.Key, m.Value
	r.Headers = r.Headers[:0]
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, sinks.Header{Name: h.Name, Value: h.Value})
	}
}

func messageOf(r *sinks.Record) kafka.Message {
	m := kafka.Message{TopicPartition: kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}, Time: r.Timestamp, Key: r.Key, Value: r.Value}
	if len(r.Headers) > 0 {
		m.Headers = make([]kafka.MessageHeader, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = kafka.MessageHeader{Name: h.Name, Value: h.Value}
		}
	}
	return m
}
