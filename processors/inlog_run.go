package processors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// RunInLog runs the sessions of the protocol in the log until ctx ends. Then it lets
// their transactions end, and leaves.
func (r *Runtime) RunInLog(ctx context.Context) error {
	group, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make([]error, r.config.InLog.Sessions)
	var all sync.WaitGroup
	for n := range r.config.InLog.Sessions {
		all.Go(func() {
			if failed[n] = r.runSession(group, n); failed[n] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// runSession runs one session after the other under one transactional id, until ctx
// ends.
func (r *Runtime) runSession(ctx context.Context, n int) error {
	wait := backoff{config: r.config.Retry}
	for ctx.Err() == nil {
		worked, err := r.oneSession(ctx, n)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errRestart) {
			return err
		}
		if worked {
			wait = backoff{config: r.config.Retry}
		}
		r.log.Warn("the session begins anew", "session", n, "error", err)
		if err := sleep(ctx, wait.next()); err != nil {
			return nil //nolint:nilerr // asked to stop
		}
	}
	return nil
}

// oneSession is a session from its claim to its end.
func (r *Runtime) oneSession(ctx context.Context, n int) (worked bool, err error) {
	owner := &sessionOwner{runtime: r, number: n}
	session, err := r.config.InLog.Session(n, owner)
	if err != nil {
		return false, err
	}
	owner.session = session
	defer func() {
		owner.drop() // before the client gives its partitions back, which forgets their state
		session.Close()
		owner.drop()
	}()
	if err := session.Claim(ctx); err != nil {
		r.noteLog(err)
		return false, fmt.Errorf("%w: %w", errRestart, err)
	}
	if err := session.Join(); err != nil {
		return false, err
	}
	r.noteLog(nil)
	beside, cancel := context.WithCancel(ctx)
	defer cancel()
	go r.look(beside, session, n)
	w := &logWorker{runtime: r, number: n, session: session, outputs: r.config.InLog.Outputs(), size: r.config.BatchRows}
	err = w.work(ctx)
	if ctx.Err() == nil {
		return true, err
	}
	// Asked to stop: no transaction is open. A static member keeps its place.
	r.mu.Lock()
	r.draining = true
	r.mu.Unlock()
	bounded, cancelLeave := context.WithTimeout(context.WithoutCancel(ctx), r.config.DrainTimeout)
	defer cancelLeave()
	if leave := session.Leave(bounded); leave != nil {
		r.log.Warn("leaving the group failed; it notices after the session timeout", "error", leave)
	}
	return true, nil
}

// look asks the brokers, now and then, for what status wants to know.
func (r *Runtime) look(ctx context.Context, session LogSession, n int) {
	for ctx.Err() == nil {
		if n == 0 {
			r.lookInLog(ctx, session)
		}
		_ = sleep(ctx, commitEvery)
	}
}

func (r *Runtime) lookInLog(ctx context.Context, session LogSession) {
	bounded, cancel := context.WithTimeout(ctx, commitEvery)
	defer cancel()
	r.lookForTopics(bounded, session)
	r.refreshEnds(bounded, session)
}

// sessionOwner is the kafka.Owner of one session.
type sessionOwner struct {
	runtime *Runtime
	number  int
	session LogSession
}

var _ kafka.Owner = (*sessionOwner)(nil)

// Assign takes partitions: their offsets are the group's, and their state is read
// while they are paused, so that no other waits for it.
func (s *sessionOwner) Assign(ctx context.Context, given []kafka.Assigned) (map[kafka.TopicPartition]int64, error) {
	r := s.runtime
	parts := make([]kafka.TopicPartition, len(given))
	for i, a := range given {
		parts[i] = a.TopicPartition
	}
	s.Lose(parts)
	s.session.Pause(parts...)
	info, err := r.prepareState(ctx, given)
	if err != nil && !cdc.Stopped(err) {
		return nil, err
	}
	starts := map[kafka.TopicPartition]int64{}
	tasks := map[*task][]*owner{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined = true
	s.displace(given)
	for _, a := range given {
		known, start, bad := s.begins(a, info, err)
		if bad != nil {
			r.refused[a.TopicPartition] = bad
			r.log.Error("the partition is stopped before it was read", "topic", a.Topic, "partition", a.Partition, "error", bad)
			continue
		}
		starts[a.TopicPartition] = start
		o := s.take(a, start, info)
		tasks[o.task] = append(tasks[o.task], o)
		o.task.need(known)
	}
	for t, owners := range tasks {
		s.restore(t, owners, info)
	}
	return starts, nil
}

// displace ends what another session of this process still holds of tasks that are given
// to this one: it was out of the group for a while and has not heard of it, so its state
// is an older one, and what it has under way can not be committed. r.mu is held.
func (s *sessionOwner) displace(given []kafka.Assigned) {
	for _, a := range given {
		t := s.runtime.tasks[a.Partition]
		if t == nil {
			continue
		}
		stale := false
		for tp, o := range s.runtime.owners {
			if o.task == t && o.source != s.session {
				stale = true
				o.queue.close()
				delete(s.runtime.owners, tp)
				o.log.Info("lost the partition to another session", "offset", o.position())
			}
		}
		if stale {
			t.mu.Lock()
			if t.ends != nil {
				t.ends()
			}
			t.ready, t.ends = false, nil
			t.mu.Unlock()
			delete(s.runtime.tasks, a.Partition)
		}
	}
}

// begins is where a partition begins, and what the group remembers beside its offset.
func (s *sessionOwner) begins(a kafka.Assigned, info kafka.ChangelogInfo, prepared error) (stored, int64, error) {
	var known stored
	if prepared != nil {
		return known, 0, prepared
	}
	if a.Metadata != "" {
		if err := json.Unmarshal([]byte(a.Metadata), &known); err != nil || known.Version != 1 {
			known = stored{} // another program set the offset: the gate drops what is known
		}
	}
	if a.Committed < 0 {
		return known, a.Start, nil
	}
	pos := a.TopicPartition.String()
	switch {
	case known.Changelog != "" && info.ID != "" && known.Changelog != info.ID:
		return known, 0, &cdc.StopError{What: "the topic of the state was deleted and made anew: the state of what was read is lost", Pos: pos,
			Next: "delete the group's offsets and the outputs, and build the pipeline anew from the beginning"}
	case a.Committed < a.First:
		return known, 0, &cdc.StopError{What: fmt.Sprintf("%d records were removed from the log before they were processed: the group is at offset %d, the log begins at %d", a.First-a.Committed, a.Committed, a.First), Pos: pos,
			Next: "raise the topic's retention; take a new snapshot of its tables at the relay, and " + forgetOffset}
	case a.Committed > a.End:
		return known, 0, &cdc.StopError{What: fmt.Sprintf("the group is at offset %d, and the log ends at %d", a.Committed, a.End), Pos: pos,
			Next: "was the topic made anew, or did the brokers lose data? " + forgetOffset}
	}
	return known, a.Committed, nil
}

// forgetOffset is how a person lets a partition begin anew.
const forgetOffset = "delete the group's offset of the partition to begin as source.start says; then restart"

// prepareState makes the changelog and checks that it fits the topics.
func (r *Runtime) prepareState(ctx context.Context, given []kafka.Assigned) (kafka.ChangelogInfo, error) {
	most := int32(0)
	counts := map[string]int32{}
	for _, a := range given {
		most = max(most, a.Of)
		counts[a.Topic] = a.Of
	}
	r.mu.Lock()
	for _, o := range r.owners {
		most = max(most, o.of)
		counts[o.tp.Topic] = o.of
	}
	r.mu.Unlock()
	if r.config.Stateful {
		if err := evenly(counts); err != nil {
			return kafka.ChangelogInfo{}, err
		}
	}
	wait := backoff{config: r.config.Retry}
	for {
		info, err := r.config.InLog.Changelog.Prepare(ctx, most)
		switch {
		case err == nil && info.Partitions < most:
			return info, &cdc.StopError{What: fmt.Sprintf("the topic of the state has %d partitions, and a topic of the source %d", info.Partitions, most), Pos: r.config.InLog.Changelog.Topic(),
				Next: "the source's partitions were changed: rows have moved to others; build the pipeline anew under another name"}
		case err == nil:
			return info, nil
		}
		r.noteLog(err)
		if err := sleep(ctx, wait.next()); err != nil {
			return info, err
		}
	}
}

// evenly is an error when topics that share state differ in their partitions: rows of
// one entity would be with different owners.
func evenly(counts map[string]int32) error {
	first := ""
	for _, topic := range slices.Sorted(maps.Keys(counts)) {
		if first == "" {
			first = topic
		}
		if counts[topic] != counts[first] {
			return &cdc.StopError{What: fmt.Sprintf("topics that share state have different numbers of partitions: %s has %d, %s has %d", first, counts[first], topic, counts[topic]), Pos: topic,
				Next: "give them the same number; a key then goes to the same number in each"}
		}
	}
	return nil
}

// take makes the owner of a partition. r.mu is held.
func (s *sessionOwner) take(a kafka.Assigned, start int64, info kafka.ChangelogInfo) *owner {
	r := s.runtime
	o := r.owner(a.TopicPartition, claimed{start: start}, func() {})
	o.source, o.of, o.topicID, o.first = s.session, a.Of, a.TopicID, a.Committed < 0
	o.decoder = newDecoder(r.config.Schemas, r.shapes, true)
	o.line, o.expect, o.moved = nil, start, time.Now()
	o.blamed = map[int64]*sinks.RecordError{}
	close(o.done)
	t := r.tasks[a.Partition]
	if t == nil {
		t = &task{number: a.Partition, replica: state.NewReplica(), line: newLine(r.config.Steps, nil, &o.decoder.arena)}
		r.tasks[a.Partition] = t
	}
	t.topic = info.ID
	o.task = t
	r.owners[a.TopicPartition] = o
	delete(r.refused, a.TopicPartition)
	return o
}

// need makes the changelog be read at least as far as the group knows it to go.
func (t *task) need(known stored) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = max(t.known, known.End)
}

// restore reads a task's state, and then lets its partitions be read. A task whose
// state is there, or on its way, only takes the partitions up. r.mu is held.
func (s *sessionOwner) restore(t *task, owners []*owner, info kafka.ChangelogInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready {
		for _, o := range owners {
			s.takeUp(o)
		}
		return
	}
	if t.ends != nil {
		return // what reads takes all up that is there at its end
	}
	ctx, cancel := context.WithCancel(context.Background()) // ended by Revoke, Lose or drop
	before, done := t.done, make(chan struct{})
	t.ends, t.done = cancel, done
	known := t.known
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		s.restoring(ctx, t, info, known)
	}()
}

// takeUp lets a partition be read whose state is there.
func (s *sessionOwner) takeUp(o *owner) {
	marks, err := o.task.markers(o.tp.Topic)
	if err == nil {
		err = o.sameTopic()
	}
	if cdc.Stopped(err) {
		o.end(err)
		o.log.Error("the partition is stopped; the others go on", "error", err)
		return
	}
	if err != nil {
		o.end(&cdc.StopError{What: "a record of the state cannot be read", Pos: o.tp.String(), Err: err, Next: "another program wrote to the topic of the state; build the pipeline anew under another name"})
		return
	}
	o.parked = marks
	o.mu.Lock()
	o.parkedRows, o.failure = len(marks), nil
	o.mu.Unlock()
	keys, bytes := o.task.replica.Size()
	o.log.Info("owns the partition", "offset", o.expect, "session", s.number, "state_keys", keys, "state_bytes", bytes)
	s.session.Resume(o.tp)
}

func (s *sessionOwner) restoring(ctx context.Context, t *task, info kafka.ChangelogInfo, known int64) {
	r := s.runtime
	wait := backoff{config: r.config.Retry}
	for {
		err := s.read(ctx, t, info, known)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		for _, o := range r.ownersOf(t) {
			if cdc.Stopped(err) {
				o.end(err)
				o.log.Error("the partition is stopped; the others go on", "error", err)
			} else {
				o.failing(fmt.Errorf("read the state: %w", err))
			}
		}
		if cdc.Stopped(err) || sleep(ctx, wait.next()) != nil {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	t.ready = true
	for _, o := range r.owners {
		if o.task == t && o.source == s.session {
			s.takeUp(o)
		}
	}
}

// ownersOf are the owners of a task's partitions.
func (r *Runtime) ownersOf(t *task) []*owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*owner
	for _, o := range r.owners {
		if o.task == t {
			out = append(out, o)
		}
	}
	return out
}

// read brings a task's replica up to what is committed: by what the changelog has
// behind it when it is fit for that, else from the beginning.
func (s *sessionOwner) read(ctx context.Context, t *task, info kafka.ChangelogInfo, known int64) error {
	r := s.runtime
	if err := r.inLogFault("restore"); err != nil {
		return err
	}
	changelog := r.config.InLog.Changelog
	end, err := changelog.End(ctx, t.number)
	if err != nil {
		return err
	}
	if end < known {
		return &cdc.StopError{What: fmt.Sprintf("the topic of the state has lost records: it ends at %d, and went to %d when the group's offset was committed", end, known), Pos: fmt.Sprintf("%s/%d", changelog.Topic(), t.number),
			Next: "the state of what was read is lost; delete the group's offsets and the outputs, and build the pipeline anew from the beginning"}
	}
	from, now := int64(0), time.Now()
	into := t.replica
	if into.Follows(info.ID, info.DeleteRetention, now) {
		from = into.Next
	} else {
		into = state.NewReplica() // beside the old one
	}
	next, err := changelog.Read(ctx, t.number, from, into.Take)
	if errors.Is(err, kafka.ErrLost) && from > 0 {
		t.replica = state.NewReplica() // its suffix is gone: all of it
		return err
	}
	if err != nil {
		if from > 0 {
			into.Next = 0 // some of the suffix is applied
		}
		return err
	}
	into.Topic, into.Next, into.As = info.ID, next, now
	r.mu.Lock()
	t.replica = into
	r.mu.Unlock()
	how := restoreFull
	if from > 0 {
		how = restoreSuffix
	}
	r.metrics.restores.WithLabelValues(how).Inc()
	return nil
}

func (r *Runtime) inLogFault(point string) error {
	if f := r.config.InLog.Fault; f != nil {
		return f(point)
	}
	return nil
}

// Revoke gives partitions back. The session aborts what is under way for them.
func (s *sessionOwner) Revoke(_ context.Context, parts []kafka.TopicPartition) {
	s.let(parts, "gave the partition back", true)
}

// Lose lets partitions go that another member may own already.
func (s *sessionOwner) Lose(parts []kafka.TopicPartition) { s.let(parts, "lost the partition", true) }

// drop lets go of all that the session had, with its end. The state stays: the next
// session of this process reads on from there.
func (s *sessionOwner) drop() {
	s.runtime.mu.Lock()
	var parts []kafka.TopicPartition
	for tp, o := range s.runtime.owners {
		if o.source == s.session {
			parts = append(parts, tp)
		}
	}
	s.runtime.mu.Unlock()
	s.let(parts, "", false)
}

func (s *sessionOwner) let(parts []kafka.TopicPartition, how string, forget bool) {
	r := s.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	var tasks []*task
	for _, tp := range parts {
		o := r.owners[tp]
		delete(r.refused, tp)
		if o == nil || o.source != s.session {
			continue
		}
		o.queue.close()
		delete(r.owners, tp)
		delete(r.ends, tp)
		if how != "" {
			o.log.Info(how, "offset", o.position())
		}
		if !slices.Contains(tasks, o.task) {
			tasks = append(tasks, o.task)
		}
	}
	for _, t := range tasks {
		if r.has(t) {
			continue
		}
		t.mu.Lock()
		if t.ends != nil {
			t.ends()
		}
		t.ready, t.ends = false, nil
		t.mu.Unlock()
		if forget {
			delete(r.tasks, t.number)
		}
	}
}

// stateSize is what the states in memory hold.
func (r *Runtime) stateSize() (keys, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tasks {
		k, b := t.replica.Size()
		keys, bytes = keys+k, bytes+b
	}
	return keys, bytes
}

// has tells whether a partition of a task is left here. r.mu is held.
func (r *Runtime) has(t *task) bool {
	for _, o := range r.owners {
		if o.task == t {
			return true
		}
	}
	return false
}
