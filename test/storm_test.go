package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Four processors join, leave, are killed and are frozen for longer than a session, under
// load and with two sessions each, while the topics are those of the kills between topics
// (kill_log_test.go): a document lost, repeated, or made from half of its rows shows in the
// end. Meanwhile the group is asked again and again who has what: partitions with one
// number, whose rows make up one document, are never with two members.
//
//	TAILRACE_STORM=5m go test ./test -run '^TestRebalanceStorm$' -timeout 30m
func TestRebalanceStorm(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers of its own")
	}
	length := 6 * time.Second
	if text := os.Getenv("TAILRACE_STORM"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	rng := seed(t)
	only := os.Getenv("TAILRACE_STORM_OF") // static or dynamic
	for name, dynamic := range map[string]bool{"static members": false, "dynamic members": true} {
		n := rng.Uint64()
		if !strings.HasPrefix(name, only) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newLogWorker(t)
			r := &logRun{t: t, worker: w, name: "storm", dir: t.TempDir(), dynamic: dynamic, processes: map[string]*process{}}
			r.storm(length, n)
		})
	}
}

const stormPartitions = 8

func (r *logRun) storm(length time.Duration, number uint64) {
	rng := rand.New(rand.NewPCG(number, 0))
	feed := newLogFeed(r.t, r.worker, r.name, stormPartitions, rand.New(rand.NewPCG(number, 1)))
	defer r.explain()
	feed.write(50)
	stop, done, asked := make(chan struct{}), make(chan struct{}), make(chan int)
	go func() {
		defer close(done)
		feed.run(stop)
	}()
	go func() { asked <- r.neverSplit(feed, stop) }()

	names := []string{"one", "two", "three", "four"}
	here, frozen := map[string]bool{}, map[string]time.Time{}
	counts := map[string]int{}
	for end := time.Now().Add(length); time.Now().Before(end); pause(r.t, 100+rng.IntN(900)) {
		for name, until := range frozen {
			if time.Now().After(until) {
				r.must(r.process(name).cmd.Process.Signal(syscall.SIGCONT))
				delete(frozen, name)
			}
		}
		name := names[rng.IntN(len(names))]
		if _, is := frozen[name]; is {
			continue
		}
		switch what := rng.IntN(8); {
		case !here[name]:
			r.start(name)
			here[name] = true
			counts["joined"]++
		case what < 3:
			r.leaves(name)
			here[name] = false
			counts["left"]++
		case what < 5:
			r.process(name).kill()
			here[name] = false
			counts["killed"]++
		case what < 6 && len(frozen) == 0:
			r.must(r.process(name).cmd.Process.Signal(syscall.SIGSTOP))
			frozen[name] = time.Now().Add(time.Duration(500+rng.IntN(1000*sessionSeconds(3)+1000)) * time.Millisecond)
			counts["frozen"]++
		}
	}
	for name := range frozen {
		r.must(r.process(name).cmd.Process.Signal(syscall.SIGCONT))
	}
	close(stop)
	<-done
	answers := <-asked
	for _, name := range names {
		if !here[name] {
			r.start(name)
		}
	}
	feed.write(20)
	feed.verify()
	feed.verifyLetters()
	for _, name := range names {
		r.leaves(name)
	}
	r.t.Logf("%v, %d changes, %d of them without a position; the group was asked %d times", counts, feed.sent, feed.poison, answers)
	if answers == 0 {
		r.t.Error("the group was never asked")
	}
}

// leaves asks a processor to stop, which is to end well.
func (r *logRun) leaves(name string) {
	r.t.Helper()
	await(r.t, func() (bool, string) { // before, nobody listens to signals
		ready := r.process(name).ready()
		return ready.Code != 0, ready.Reason
	})
	if code := r.process(name).stop(); code != 0 {
		r.t.Errorf("processor %s left with %d, want 0", name, code)
	}
}

// neverSplit asks the group who has what until it is told to stop; how often it was
// answered, is the result.
func (r *logRun) neverSplit(feed *logFeed, stop <-chan struct{}) (answers int) {
	admin := kadm.NewClient(feed.client)
	for {
		select {
		case <-stop:
			return answers
		case <-time.After(50 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
		groups, err := admin.DescribeGroups(ctx, r.name)
		cancel()
		g, ok := groups[r.name]
		if err != nil || !ok || g.Err != nil || g.State != "Stable" {
			continue
		}
		answers++
		owner := map[string]string{}
		of := map[int32]string{}
		for _, m := range g.Members {
			given, ok := m.Assigned.AsConsumer()
			if !ok {
				continue
			}
			for _, t := range given.Topics {
				for _, p := range t.Partitions {
					tp := fmt.Sprintf("%s/%d", t.Topic, p)
					if was, ok := owner[tp]; ok && was != m.MemberID {
						r.t.Errorf("%s is with %s and %s", tp, was, m.MemberID)
					}
					owner[tp] = m.MemberID
					if was, ok := of[p]; ok && was != m.MemberID {
						r.t.Errorf("the partitions with number %d are with %s and %s", p, was, m.MemberID)
					}
					of[p] = m.MemberID
				}
			}
		}
	}
}
