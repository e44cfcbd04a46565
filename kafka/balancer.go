package kafka

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// taskBalancer gives the partitions with one number, of all topics, to one member:
// they share state, which has one owner. Otherwise it does what cooperative-sticky
// does, whose metadata it uses: a task stays where it is while numbers are even.
//
// What can split a task, and why it does not:
//
//   - the task moves: the new member gets it when the old one has given all of it
//     back, in the rebalance after this one. A partition that nobody has yet (a topic
//     made later) waits with the others;
//   - a member comes back with what it owned in an older generation: the claim of
//     the newest generation counts, and only what no other member claims is handed
//     out at once;
//   - a member that subscribes to fewer topics, while instances change over: a task
//     goes to those only that subscribe to all of its topics.
type taskBalancer struct{ kgo.GroupBalancer }

func newTaskBalancer() *taskBalancer { return &taskBalancer{kgo.CooperativeStickyBalancer()} }

// ProtocolName implements kgo.GroupBalancer.
func (*taskBalancer) ProtocolName() string { return "tailrace-tasks" }

// MemberBalancer implements kgo.GroupBalancer.
func (b *taskBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	made, err := kgo.NewConsumerBalancer(b, members)
	if err != nil {
		return nil, nil, err
	}
	return made, made.MemberTopics(), nil
}

// Balance implements kgo.ConsumerBalancerBalance.
func (*taskBalancer) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	var members []taskMember
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		t := taskMember{topics: meta.Topics, owned: map[string][]int32{}, generation: meta.Generation}
		for _, o := range meta.OwnedPartitions {
			t.owned[o.Topic] = o.Partitions
		}
		members = append(members, t)
	})
	given := divide(members, topics)
	plan := b.NewPlan()
	at := 0
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, _ *kmsg.ConsumerMemberMetadata) {
		for _, tp := range given[at] {
			plan.AddPartition(m, tp.Topic, tp.Partition)
		}
		at++
	})
	return plan
}

// taskMember is what a member says of itself when it joins.
type taskMember struct {
	topics     []string
	owned      map[string][]int32
	generation int32
}

// task is the partitions of one number.
type task struct {
	number int32
	parts  []TopicPartition
	owner  int // the member that claims some of it; -1: none, -2: several
}

// divide says what each member gets now. What has to move is left out until its
// owner, to whom it is not given any more, has given it back.
func divide(members []taskMember, topics map[string]int32) [][]TopicPartition {
	given := make([][]TopicPartition, len(members))
	tasks := tasksOf(members, topics)
	load := make([]int, len(members))
	var rest []*task
	// First what stays. A member keeps no more than its share, rounded up; who has
	// one more than others is decided by who has it already.
	low, more := len(tasks)/max(1, len(members)), len(tasks)%max(1, len(members))
	counts := make([]int, len(members))
	for _, t := range tasks {
		if t.owner >= 0 {
			counts[t.owner]++
		}
	}
	share := make([]int, len(members))
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(counts[b], counts[a]) })
	for rank, i := range order {
		share[i] = low
		if rank < more {
			share[i]++
		}
	}
	for _, t := range tasks {
		if t.owner >= 0 && load[t.owner] < share[t.owner] && members[t.owner].reads(t) {
			load[t.owner]++
			given[t.owner] = append(given[t.owner], t.parts...)
			continue
		}
		rest = append(rest, t)
	}
	for _, t := range rest {
		to := -1
		for _, i := range order {
			if members[i].reads(t) && (to < 0 || load[i]-share[i] < load[to]-share[to]) {
				to = i
			}
		}
		if to < 0 {
			continue // nobody reads all of it
		}
		load[to]++
		if t.owner == -1 {
			given[to] = append(given[to], t.parts...)
		}
	}
	return given
}

// reads tells whether a member subscribes to all topics of a task.
func (m *taskMember) reads(t *task) bool {
	for _, tp := range t.parts {
		if !slices.Contains(m.topics, tp.Topic) {
			return false
		}
	}
	return true
}

// tasksOf makes the tasks, in the order of their numbers, with their owners.
func tasksOf(members []taskMember, topics map[string]int32) []*task {
	claims := map[TopicPartition]int{}
	for i := range members {
		for topic, numbers := range members[i].owned {
			for _, n := range numbers {
				tp := TopicPartition{topic, n}
				if was, ok := claims[tp]; ok && members[was].generation >= members[i].generation {
					continue
				}
				claims[tp] = i
			}
		}
	}
	names := make([]string, 0, len(topics))
	for name := range topics {
		names = append(names, name)
	}
	slices.Sort(names)
	var tasks []*task
	for _, name := range names {
		for n := range topics[name] {
			for int(n) >= len(tasks) {
				tasks = append(tasks, &task{number: int32(len(tasks)), owner: -1})
			}
			t, tp := tasks[n], TopicPartition{name, n}
			t.parts = append(t.parts, tp)
			if i, ok := claims[tp]; ok && t.owner != i {
				if t.owner == -1 {
					t.owner = i
				} else {
					t.owner = -2 // it was split: both give it back first
				}
			}
		}
	}
	return tasks
}
