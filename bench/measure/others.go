package measure

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is what all processes had used at one moment.
type Snapshot struct {
	all   map[int]Process
	steal float64 // CPU seconds that the hypervisor gave to others
}

// Take makes a snapshot.
func Take() (Snapshot, error) {
	all, err := All()
	if err != nil {
		return Snapshot{}, err
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Snapshot{}, err
	}
	fields := strings.Fields(string(b)) // cpu user nice system idle iowait irq softirq steal …
	if len(fields) < 9 || fields[0] != "cpu" {
		return Snapshot{}, fmt.Errorf("read /proc/stat: it begins with %.40q", b)
	}
	steal, err := strconv.ParseInt(fields[8], 10, 64)
	return Snapshot{all: all, steal: float64(steal) * tick}, err
}

// tree is the ids of root and of all below it.
func (s Snapshot) tree(root int) map[int]bool {
	children := map[int][]int{}
	for pid, p := range s.all {
		children[p.Parent] = append(children[p.Parent], pid)
	}
	in := map[int]bool{}
	for next := []int{root}; len(next) > 0; next = next[1:] {
		if !in[next[0]] {
			in[next[0]] = true
			next = append(next, children[next[0]]...)
		}
	}
	return in
}

// Tree is the CPU seconds of root and of all below it, those that have ended
// included. The difference of two snapshots is what the tree has used in between.
func (s Snapshot) Tree(root int) float64 {
	var sum float64
	for pid := range s.tree(root) {
		sum += s.all[pid].CPU() + s.all[pid].Reaped
	}
	return sum
}

// Others is what did not belong to the work between two snapshots.
type Others struct {
	CPU   float64 // seconds of processes outside of the tree
	Steal float64 // seconds that the hypervisor gave to others
	Who   []string
}

// OthersBetween is what processes outside of root's tree have used. What ended in
// between counts, since its parent has its time then.
func OthersBetween(before, after Snapshot, root int) Others {
	used := map[int]float64{}
	own := before.tree(root)
	maps.Copy(own, after.tree(root))
	for pid, p := range after.all {
		if !own[pid] {
			used[pid] += p.CPU() + p.Reaped
		}
	}
	// A process that has ended has left its time to its parent; what it had used
	// before is not of this time.
	for pid, p := range before.all {
		if own[pid] {
			continue
		}
		heir := pid
		for _, there := after.all[heir]; !there && heir > 1; _, there = after.all[heir] {
			heir = before.all[heir].Parent
		}
		used[heir] -= p.CPU() + p.Reaped
	}
	o := Others{Steal: after.steal - before.steal}
	pids := slices.SortedFunc(maps.Keys(used), func(a, b int) int { return cmp.Compare(used[b], used[a]) })
	for _, pid := range pids {
		seconds := max(0, used[pid])
		if o.CPU += seconds; seconds >= 0.05 && len(o.Who) < 5 {
			o.Who = append(o.Who, fmt.Sprintf("%s (pid %d) %.2f s", after.all[pid].Name, pid, seconds))
		}
	}
	return o
}
