package processors

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Assign takes partitions: their offsets are the group's, and their state is read
// while they are paused, so that no other waits for it.
func (m *member) Assign(ctx context.Context, given []kafka.Assigned) (map[kafka.TopicPartition]int64, error) {
	r := m.runtime
	m.displace(given)
	info, err := r.prepareState(ctx, given)
	if err != nil && !cdc.Stopped(err) {
		return nil, err
	}
	starts := map[kafka.TopicPartition]int64{}
	tasks := map[*task][]*owner{}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.gone {
		return nil, context.Canceled
	}
	r.joined = true
	for _, a := range given {
		known, start, bad := m.begins(a, info, err)
		if bad != nil {
			r.refused[a.TopicPartition] = bad
			r.log.Error("the partition is stopped before it was read", "topic", a.Topic, "partition", a.Partition, "error", bad)
			continue
		}
		starts[a.TopicPartition] = start
		o := m.own(a, start, info)
		o.generation, o.stretch = max(known.Generation, 1), known.Stretch.at(start)
		tasks[o.task] = append(tasks[o.task], o)
		o.task.known, o.task.newest = max(o.task.known, known.End), max(o.task.newest, known.Generation)
	}
	for t, owners := range tasks {
		for _, o := range owners {
			if o.first { // what an n:1 step gives has the generation in its version
				o.generation = max(o.generation, t.newest)
			}
		}
		m.restore(t, owners, info)
	}
	clear(m.kept) // others have the rest now
	return starts, nil
}

// displace pauses what is given, and disowns whoever still has it here: one that was out
// of the group for a while and has not heard of it, this member or another of the
// process. What it has under way cannot be committed.
func (m *member) displace(given []kafka.Assigned) {
	r := m.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range given {
		m.session.Pause(a.TopicPartition)
		delete(r.refused, a.TopicPartition)
		if o := r.owners[a.TopicPartition]; o != nil {
			r.disown(o)
			o.log.Info("lost the partition, which the group gives anew", "offset", o.position())
		}
	}
}

// begins is where a partition begins, and what the group remembers beside its offset.
func (m *member) begins(a kafka.Assigned, info kafka.ChangelogInfo, prepared error) (stored, int64, error) {
	var known stored
	if prepared != nil {
		return known, 0, prepared
	}
	if a.Metadata != "" {
		if err := json.Unmarshal([]byte(a.Metadata), &known); err != nil || known.Version != 1 {
			known = stored{} // another program set the offset: the gate drops what is known
		}
	}
	if e := m.runtime.config.Entity; a.Committed < 0 && e != nil && a.Topic == e.Topic {
		return known, a.First, nil
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
	if r.config.Stateful && r.config.Entity == nil {
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
		case err == nil && r.config.Entity != nil:
			if err = r.prepareEntities(ctx, info); err == nil || cdc.Stopped(err) {
				return info, err
			}
		case err == nil:
			return info, nil
		}
		r.noteLog(err)
		if err := sleep(ctx, wait.next()); err != nil {
			return info, err
		}
	}
}

// prepareEntities makes the internal topic: its partitions are tasks as those of the
// sources are.
func (r *Runtime) prepareEntities(ctx context.Context, info kafka.ChangelogInfo) error {
	n, err := r.config.Entity.Partitions(ctx, info.Partitions)
	if err == nil && n != info.Partitions {
		return &cdc.StopError{What: fmt.Sprintf("the internal topic has %d partitions, and that of the state %d", n, info.Partitions), Pos: r.config.Entity.Topic,
			Next: "entities have moved to other partitions; build the pipeline anew under another name"}
	}
	r.entityPartitions.Store(n)
	return err
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
func (m *member) own(a kafka.Assigned, start int64, info kafka.ChangelogInfo) *owner {
	r := m.runtime
	o := r.owner(a.TopicPartition, claimed{start: start}, func() {})
	o.source, o.of, o.topicID, o.first = m.session, a.Of, a.TopicID, a.Committed < 0
	o.decoder = newDecoder(r.config.Schemas, r.shapes, true)
	if e := r.config.Entity; e != nil {
		if o.entities = e.Topic; a.Topic == e.Topic {
			o.decoder.entities, o.space = e.Topic, entitySpace
		}
	}
	o.line, o.expect, o.moved = nil, start, time.Now()
	o.blamed = map[int64]*sinks.RecordError{}
	o.member, o.wake = m, m.poke
	close(o.done)
	o.task = m.task(o, info.ID)
	r.owners[a.TopicPartition] = o
	return o
}

// task is the one of an owner's number, made with the changelog's id when there is none
// yet: what works on it already reads that id without r.mu. r.mu is held.
func (m *member) task(o *owner, changelog string) *task {
	for _, other := range m.runtime.owners {
		if other.source == m.session && other.tp.Partition == o.tp.Partition {
			return other.task
		}
	}
	replica := m.kept[o.tp.Partition]
	if replica == nil {
		replica = state.NewReplica()
	}
	t := &task{number: o.tp.Partition, topic: changelog, replica: replica, line: newLine(m.runtime.config.Steps, nil, &o.decoder.arena)}
	if e := m.runtime.config.Entity; e != nil {
		t.line.entity, t.line.handAt, t.line.concerns = e.Key(), e.At, e.Concerns
	}
	return t
}

// Revoke gives partitions back. The session aborts what is under way for them.
func (m *member) Revoke(_ context.Context, parts []kafka.TopicPartition) {
	m.let(parts, "gave the partition back")
}

// Lose lets partitions go that another member may own already.
func (m *member) Lose(parts []kafka.TopicPartition) { m.let(parts, "lost the partition") }

func (m *member) let(parts []kafka.TopicPartition, how string) {
	r := m.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.gone {
		return
	}
	for _, tp := range parts {
		delete(r.refused, tp)
		if o := r.owners[tp]; o != nil && o.source == m.session {
			r.disown(o)
			o.log.Info(how, "offset", o.position())
		}
	}
}

// disown forgets an owner, and with the last one of a task its state. r.mu is held.
func (r *Runtime) disown(o *owner) {
	delete(r.owners, o.tp)
	delete(r.ends, o.tp)
	if !r.has(o.task) {
		o.task.ends()
	}
}

// drop lets go of all that the member had, with its end. What states it has, the next
// member reads on from there.
func (m *member) drop() {
	r := m.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	m.gone = true
	for _, o := range r.owners {
		if o.source == m.session {
			r.disown(o)
			m.kept[o.task.number] = o.task.replica
		}
	}
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
