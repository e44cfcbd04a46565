package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/kafka"
)

// TestStartsAtAnLSN: a new pipeline begins at the first record at or behind source.start,
// and what was read once is not moved by it.
func TestStartsAtAnLSN(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]string{"in the sink": `{postgres: {url: "${SINK}", schema: add}}`, "in the log": "{kafka: {topics: {replication_factor: 1}}}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			for n := range 8 {
				s.publish(n+1, fmt.Sprint(n+1), fmt.Sprintf("%d.00", n+1))
			}
			seen := s.totals
			if name == "in the log" {
				seen = s.written
			}
			run := func(start, want string) {
				text := strings.Replace(s.into(sink), "source: {", "source: {start: "+start+", ", 1)
				stop := s.runs(s.write("start.yaml", text))
				until(t, want, func() bool { return seen() == want })
				stop()
			}
			run("0/6", "6:6.00 7:7.00 8:8.00")
			s.publish(9, "9", "9.00")
			run("0/2", "6:6.00 7:7.00 8:8.00 9:9.00")
		})
	}
}

// written are the rows in the topic that the pipeline writes to, as totals shows them.
func (s *stack) written() string {
	s.t.Helper()
	var rows []string
	err := kafka.Tail(s.t.Context(), kafka.TailConfig{Config: kafka.Config{Brokers: []string{s.broker}}, Topics: []string{"warehouse.public.orders"}, UntilEnd: true}, func(m kafka.Message) error {
		p, ok := position(&m)
		if !ok {
			return errors.New("a record has no position")
		}
		rows = append(rows, fmt.Sprintf("%d:%d.00", p.LSN, p.LSN))
		return nil
	})
	if err != nil {
		return "" // there is no topic yet
	}
	slices.Sort(rows)
	return strings.Join(rows, " ")
}
