package kafka

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// round is one rebalance: what members own, they say; what they are given and do not
// own, they take; what they own and are not given, they give back, and join again.
func rebalance(t *rapid.T, members []taskMember, topics map[string]int32, generation int32) (changed bool) {
	given := divide(members, topics)
	owners := map[TopicPartition]int{}
	for i := range members {
		m := &members[i]
		was := m.owned
		m.owned, m.generation = map[string][]int32{}, generation
		for _, tp := range given[i] {
			if _, twice := owners[tp]; twice {
				t.Fatalf("%s is given to two members", tp)
			}
			owners[tp] = i
			m.owned[tp.Topic] = append(m.owned[tp.Topic], tp.Partition)
		}
		for topic, numbers := range was { // all that a member loses is still its own in this moment
			for _, n := range numbers {
				if to, ok := owners[TopicPartition{topic, n}]; ok && to != i {
					t.Fatalf("%s/%d was given to member %d before member %d gave it back", topic, n, to, i)
				}
				if !slices.Contains(m.owned[topic], n) {
					changed = true
				}
			}
		}
	}
	for tp, i := range owners {
		for topic := range topics {
			other := TopicPartition{topic, tp.Partition}
			if j, ok := owners[other]; ok && i != j {
				t.Fatalf("%s is member %d's and %s is member %d's", tp, i, other, j)
			}
		}
	}
	return changed
}

// Members come and go, topics appear and grow: the partitions with one number are
// never with two members, and in the end everything is with somebody, evenly.
func TestTasksAreNeverSplit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}
		topics := map[string]int32{"a": rapid.Int32Range(1, 8).Draw(t, "partitions")}
		var members []taskMember
		generation := int32(0)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				members = append(members, taskMember{topics: names, owned: map[string][]int32{}, generation: -1})
			case 2:
				if len(members) > 1 {
					i := rapid.IntRange(0, len(members)-1).Draw(t, "leaves")
					members = slices.Delete(members, i, i+1)
				}
			case 3:
				topics[rapid.SampledFrom(names).Draw(t, "topic")] = rapid.Int32Range(1, 8).Draw(t, "partitions")
				for i := range members { // a topic has no fewer partitions than it had
					for name, numbers := range members[i].owned {
						for _, n := range numbers {
							topics[name] = max(topics[name], n+1)
						}
					}
				}
			}
			if len(members) == 0 {
				continue
			}
			for rounds := 0; ; rounds++ {
				generation++
				if !rebalance(t, members, topics, generation) && rounds > 0 {
					break
				}
				if rounds > 10 {
					t.Fatal("members give back and take for ever")
				}
			}
			even(t, members, topics)
		}
	})
}

func even(t *rapid.T, members []taskMember, topics map[string]int32) {
	most := int32(0)
	total := 0
	for _, n := range topics {
		most = max(most, n)
		total += int(n)
	}
	low, high, all := 1<<30, 0, 0
	for _, m := range members {
		tasks := map[int32]bool{}
		for _, numbers := range m.owned {
			for _, n := range numbers {
				tasks[n] = true
				all++
			}
		}
		low, high = min(low, len(tasks)), max(high, len(tasks))
	}
	if all != total {
		t.Fatalf("%d of %d partitions are with a member", all, total)
	}
	if high-low > 1 {
		t.Fatalf("%d members for %d tasks: one has %d, another %d", len(members), most, high, low)
	}
}

// A member that comes back after it missed rebalances claims what another has by now.
func TestTasksGoByTheNewestClaim(t *testing.T) {
	t.Parallel()
	topics := map[string]int32{"a": 2, "b": 2}
	stale := taskMember{topics: []string{"a", "b"}, owned: map[string][]int32{"a": {0, 1}, "b": {0, 1}}, generation: 3}
	fresh := taskMember{topics: []string{"a", "b"}, owned: map[string][]int32{"a": {0, 1}, "b": {0, 1}}, generation: 7}
	given := divide([]taskMember{stale, fresh}, topics)
	if len(given[0]) != 0 || len(given[1]) != 2 {
		t.Errorf("got %v: what the newer claim gives up has to be given back first", given)
	}
}
