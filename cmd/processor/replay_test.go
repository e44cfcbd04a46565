package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
)

// runs starts a processor and returns what stops it, as SIGTERM does.
func (s *stack) runs(file string) (stop func()) {
	s.t.Helper()
	cmd, _, errs := command(s.t.Context(), "run", "-c", file)
	cmd.Env = append(cmd.Env, "SINK="+s.database)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Log(errs.String())
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// replay runs processor replay, which has to end with a code.
func (s *stack) replay(want int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	code, out, errs := runToEndWith(s.t, "SINK="+s.database, append([]string{"replay", "-c", s.file}, args...)...)
	if code != want {
		s.t.Fatalf("replay %v: exit %d, want %d\n%s%s", args, code, want, out, errs)
	}
	return out, errs
}

func TestReplayFlags(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for text, args := range map[string][]string{
		"say where it begins":      {},
		"want beginning, an LSN":   {"--from", "yesterday"},
		"is not behind":            {"--from", "0/20", "--to", "0/10"},
		"nothing is before it":     {"--from", "0/20", "--to", "beginning"},
		"the pipeline reads":       {"--from", "0/20", "--topic", "none"},
		"relay slot bookmarks":     {"--from", "bookmark:x"},
		"--to 2026-01-01T00:00:00": {"--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"},
	} {
		if _, errs := s.replay(2, args...); !strings.Contains(errs, text) {
			t.Errorf("replay %v: got %q, want %q in it", args, errs, text)
		}
	}
	if out, _ := s.replay(0, "--from", "beginning"); !strings.Contains(out, "nothing to apply again") {
		t.Errorf("before anything was read: %q", out)
	}
}

// TestReplayFromTheLog: what a bug wrote is overwritten from a place on, however that is
// given; before it acts, the command says how much that is.
func TestReplayFromTheLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	n := 0
	put := func(id, total string) {
		n++
		s.publishAt(n, began.Add(time.Duration(n)*time.Second), id, total)
	}
	for i := range 8 {
		put(fmt.Sprint(i%4+1), fmt.Sprintf("%d.00", i+1))
	}
	const right = "1:5.00 2:6.00 3:7.00 4:8.00"
	stop := s.runs(s.file)
	until(t, right, func() bool { return s.totals() == right })
	if _, errs := s.replay(3, "--from", "beginning"); !strings.Contains(errs, "the pipeline runs") || !strings.Contains(errs, "--live") {
		t.Errorf("while it runs: %q", errs)
	}
	stop()
	generation := 1
	for _, test := range []struct {
		name, from string
		records    int
		want       string
	}{
		{"an LSN", "0/6", 3, "1:0.00 2:6.00 3:7.00 4:8.00"},
		{"an LSN between two", "0/0000005", 4, right},
		{"a position", cdc.Position{Epoch: 1, LSN: 7, Ordinal: 1}.String(), 2, "1:0.00 2:0.00 3:7.00 4:8.00"},
		{"a time", began.Add(7500 * time.Millisecond).Format(time.RFC3339Nano), 1, "1:0.00 2:0.00 3:0.00 4:8.00"},
		{"the beginning", "beginning", 8, right},
	} {
		s.exec("UPDATE public.orders SET total = 0")
		out, _ := s.replay(0, "--from", test.from, "--dry-run", "-o", "json")
		var said replaySummary
		if err := json.Unmarshal([]byte(out), &said); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if said.Records != int64(test.records) || !said.Exact || said.Done != "nothing" || said.Generation != int64(generation+1) ||
			!said.First.Equal(began.Add(time.Duration(9-test.records)*time.Second)) || !said.Last.Equal(began.Add(8*time.Second)) {
			t.Errorf("%s: a dry run says %s", test.name, out)
		}
		out, _ = s.replay(0, "--from", test.from)
		if want := fmt.Sprintf("%d records of %d.0 s, in generation %d", test.records, test.records-1, generation+1); !strings.Contains(out, want) && test.records > 1 {
			t.Errorf("%s: %q is missing in\n%s", test.name, want, out)
		}
		generation++
		stop := s.runs(s.file)
		until(t, test.name+": "+test.want, func() bool { return s.totals() == test.want })
		stop()
	}
	if out, _ := s.replay(0, "--from", "0/9"); !strings.Contains(out, "nothing to apply again") {
		t.Errorf("behind the end: %q", out)
	}
	// Only what is missing.
	s.exec("UPDATE public.orders SET total = 1 WHERE id = 1")
	s.exec("DELETE FROM public.orders WHERE id = 2")
	if out, _ := s.replay(0, "--from", "0/5", "--only-missing"); !strings.Contains(out, fmt.Sprintf("in generation %d: rows take what they do not have", generation)) {
		t.Errorf("--only-missing says\n%s", out)
	}
	s.runs(s.file)
	const filled = "1:1.00 2:6.00 3:7.00 4:8.00"
	until(t, filled, func() bool { return s.totals() == filled })
	// While it runs, with an end: the rows that have changed behind it keep what they have.
	s.exec("UPDATE public.orders SET total = 0")
	put("5", "9.00")
	out, _ := s.replay(0, "--live", "--from", "0/6", "--to", "0/7")
	if !strings.Contains(out, "1 records") || !strings.Contains(out, "applied again") {
		t.Errorf("--live says\n%s", out)
	}
	const live = "1:0.00 2:6.00 3:0.00 4:0.00 5:9.00"
	until(t, live, func() bool { return s.totals() == live })
}

// TestReplayIsHeldByTheLog: what was removed cannot be applied again, and it is said.
func TestReplayIsHeldByTheLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for n := range 8 {
		s.publish(n+1, fmt.Sprint(n), "1.00")
	}
	stop := s.runs(s.file)
	until(t, "all rows", func() bool { return s.count("SELECT count(*) FROM public.orders") == 8 })
	stop()
	s.removeBefore("0/5")
	_, errs := s.replay(3, "--from", "0/2")
	if !strings.Contains(errs, "no longer in the topics") || !strings.Contains(errs, "00000001/0000000000000005") || !strings.Contains(errs, "relay replay") {
		t.Errorf("got %q", errs)
	}
	if out, _ := s.replay(0, "--from", "beginning", "--dry-run"); !strings.Contains(out, "4 records") {
		t.Errorf("what is left: %q", out)
	}
}

// removeBefore removes the records before a position from every partition.
func (s *stack) removeBefore(lsn string) {
	s.t.Helper()
	at, err := cdc.ParseLSN(lsn)
	if err != nil {
		s.t.Fatal(err)
	}
	admin := kadm.NewClient(s.client)
	ends, err := admin.ListEndOffsets(s.t.Context(), "shop.public.orders")
	if err != nil {
		s.t.Fatal(err)
	}
	remove := kadm.Offsets{}
	f, err := kafka.NewFinder(kafka.Config{Brokers: []string{s.broker}})
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	ranges, err := f.Ranges(s.t.Context(), "shop.public.orders")
	if err != nil {
		s.t.Fatal(err)
	}
	found, err := (&searching{finder: f}).search(s.t.Context(), ranges, cdc.Position{Epoch: 1, LSN: at})
	if err != nil {
		s.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		remove.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: found[kafka.TopicPartition{Topic: o.Topic, Partition: o.Partition}].Offset})
	})
	if _, err := admin.DeleteRecords(s.t.Context(), remove); err != nil {
		s.t.Fatal(err)
	}
}

// TestReplayFromTopicsToTopics: the group's offsets are all there is to set.
func TestReplayFromTopicsToTopics(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.file = s.write("log.yaml", strings.Replace(s.configuration(""), `sink: {postgres: {url: "${SINK}", schema: add}}`, "sink: {kafka: {topics: {replication_factor: 1}}}", 1))
	for n := range 6 {
		s.publish(n+1, fmt.Sprint(n%3), fmt.Sprintf("%d.00", n+1))
	}
	written := func() (n int) {
		err := kafka.Tail(t.Context(), kafka.TailConfig{Config: kafka.Config{Brokers: []string{s.broker}}, Topics: []string{"warehouse.public.orders"}, UntilEnd: true}, func(kafka.Message) error { n++; return nil })
		if err != nil {
			return -1 // there is no topic yet
		}
		return n
	}
	stop := s.runs(s.file)
	until(t, "6 records", func() bool { return written() == 6 })
	stop()
	if out, _ := s.replay(0, "--from", "0/4"); !strings.Contains(out, "3 records") || !strings.Contains(out, "generation 2") {
		t.Errorf("replay says\n%s", out)
	}
	stop = s.runs(s.file)
	until(t, "9 records", func() bool { return written() == 9 })
	if out, _ := s.replay(0, "--from", "0/6", "--live"); !strings.Contains(out, "applied again") {
		t.Errorf("replay --live says\n%s", out)
	}
	until(t, "10 records", func() bool { return written() == 10 })
	stop()
	s.replay(0, "--from", "beginning", "--only-missing")
	stop = s.runs(s.file)
	s.publish(7, "9", "7.00")
	until(t, "the next record", func() bool { return written() >= 11 })
	stop()
	if n := written(); n != 11 {
		t.Errorf("records: %d, want 11: nothing was missing", n)
	}
}
