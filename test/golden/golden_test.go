package golden

import (
	"fmt"
	"regexp"
	"sync"
	"testing"
)

// workers is how many cases run at a time: their relays mostly wait.
const workers = 6

// TestGolden runs every case of the corpus through the relay and compares what
// it wrote with what Debezium wrote: the topics, the records and their order, the
// schemas as text, keys, values and headers, byte for byte.
func TestGolden(t *testing.T) {
	s := startServices(t)
	cases := make(chan *capture)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for c := range cases {
				t.Run(c.Name, func(t *testing.T) { s.check(t, c) })
			}
		})
	}
	for _, c := range corpus(t) {
		cases <- c
	}
	close(cases)
	group.Wait()
}

// check is one case.
func (s *services) check(t *testing.T, c *capture) {
	theirs, err := c.records()
	if err != nil {
		t.Fatal(err)
	}
	again := fmt.Sprintf("go test ./test/golden -run 'TestGolden/^%s$'", regexp.QuoteMeta(c.Name))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s\n  repeat: %s", c.Name, c.About, again)
		}
	})
	ours, window := s.play(t, c)
	compared := newComparison(exceptionsOf(c), window)
	for _, problem := range compared.held(theirs, ours) {
		t.Errorf("%s: %s", c.Name, problem)
	}
	for _, d := range compared.found {
		t.Errorf("%s: %s", c.Name, d)
	}
	if !t.Failed() {
		for _, line := range compared.exceptions.unused() {
			t.Errorf("%s: an exception that is not needed: %s", c.Name, line)
		}
	}
}
