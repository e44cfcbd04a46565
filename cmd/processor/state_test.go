package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/internal/embedded/broker"
	"github.com/tailrace/tailrace/processors/state"
)

// start runs a processor with a configuration of its own, and kills it at the end.
func (s *stack) start(file string) {
	s.t.Helper()
	cmd, _, _ := command(s.t.Context(), "run", "-c", file, "--log-level", "error")
	cmd.Env = append(cmd.Env, "SINK="+s.database)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// pieces runs a state command and reads its lines.
func (s *stack) pieces(want int, file string, args ...string) (list []piece) {
	s.t.Helper()
	code, out, errs := runToEndWith(s.t, "SINK="+s.database, append([]string{"state", "-c", file, "-o", "json"}, args...)...)
	if code != want {
		s.t.Fatalf("state %v: exit %d, want %d\n%s%s", args, code, want, out, errs)
	}
	for line := range strings.Lines(out) {
		var p piece
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			s.t.Fatalf("%v in %s", err, line)
		}
		list = append(list, p)
	}
	return list
}

func kinds(list []piece) string {
	var out []string
	for _, p := range list {
		text := p.Kind + " " + p.Table + p.Step + " " + p.Key
		if p.Parked != nil {
			text += " parked"
		}
		if !p.Removed.IsZero() {
			text += " removed"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestStateOfSinkPostgres(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	if got := s.pieces(0, s.file, "list"); len(got) > 0 {
		t.Errorf("before anything ran: %v", got)
	}
	s.exec(`CREATE TABLE orders (id integer PRIMARY KEY, total numeric CHECK (total < 100), _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	s.process("")
	s.publish(1, "1", "5.00")
	s.publish(2, "2", "500.00")
	until(t, "the dead letter", func() bool { return s.count("SELECT count(*) FROM tailrace.parked") == 1 })
	s.publish(3, "2", "5.00")
	s.publish(4, "12", "6.00")
	s.remove(5, "12")
	until(t, "the last change", func() bool { return s.count("SELECT count(*) FROM tailrace.tombstones") == 1 })
	until(t, "both dead letters in their topic", func() bool { return s.statuses()["open"] == 2 })
	if got, want := kinds(s.pieces(0, s.file, "list")), "parked public.orders 2 parked, target public.orders 1, target public.orders 12 removed"; got != want {
		t.Errorf("list: got %s, want %s", got, want)
	}
	one := s.pieces(0, s.file, "get", "1")
	if len(one) != 1 || !strings.HasPrefix(one[0].Position, "00000001/0000000000000001/") || !strings.Contains(string(one[0].Value), `"total":5.00`) {
		t.Errorf("get 1: %+v, value %s", one, one[0].Value)
	}
	if two := s.pieces(0, s.file, "get", `["2"]`); len(two) != 1 || two[0].Parked == nil || two[0].Parked.Count != 2 || two[0].Parked.Class != "constraint" || len(two[0].Parked.First) != 32 {
		t.Errorf("get 2: %+v", two)
	}
	if got := kinds(s.pieces(0, s.file, "list", "--prefix", "1")); strings.Contains(got, "2 parked") {
		t.Errorf("list --prefix 1: %s", got)
	}
	s.pieces(1, s.file, "get", "99")
	s.pieces(1, s.file, "get", "no number")
}

func TestStateInTheLog(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("log.yaml", s.into("{kafka: {topics: {config: {cleanup.policy: compact}}}}")+"steps: [{latest: {table: public.documents}}]\n")
	if got := s.pieces(0, file, "list"); len(got) > 0 {
		t.Errorf("before anything ran: %v", got)
	}
	s.start(file)
	s.publish(1, "1", "5.00")
	s.publish(2, "12", "7.00")
	s.publish(3, "1", "6.00")
	s.remove(4, "12")
	until(t, "the last changes", func() bool {
		list := s.pieces(0, file, "list")
		return strings.Contains(kinds(list), "12 removed") && slices.ContainsFunc(list, func(p piece) bool { return p.Key == "1" && p.Sequence == 2 })
	})
	if got, want := kinds(s.pieces(0, file, "list")), "entity steps[0].latest 1, entity steps[0].latest 12, row public.orders 1, row public.orders 12 removed"; got != want {
		t.Errorf("list: got %s, want %s", got, want)
	}
	got := s.pieces(0, file, "get", "1")
	if len(got) != 2 || got[0].Position != "00000001/0000000000000003/00000001/00" || got[0].Applied != got[0].Position || got[1].Sequence != 2 || string(got[1].Value) != `{"public.orders":[{"id":1,"total":6.00}]}` {
		t.Errorf("get 1: %+v", got)
	}
	until(t, "the state's size in /status", func() bool {
		_, body := s.get("/status")
		return strings.Contains(body, `"state_keys":`) && !strings.Contains(body, `"circuit_for":0,"state_keys":0,`) && strings.Contains(body, `"circuit":"closed"`)
	})
	if _, text, _ := runToEndWith(t, "", "status", "-c", file); !strings.Contains(text, "remembers  ") {
		t.Errorf("status:\n%s", text)
	}
	if _, text, _ := runToEndWith(t, "", "state", "get", "1", "-c", file); !strings.Contains(text, "position    00000001/0000000000000003/00000001/00\n") {
		t.Errorf("get:\n%s", text)
	}
}

// One partition at a time is in memory: what is written to the second while the first is
// shown is there when its turn comes.
func TestStateInTheLogIsReadPartitionByPartition(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "tailrace.warehouse.state"); err != nil {
		t.Fatal(err)
	}
	remember := func(partition int32, key string) {
		k := state.Key{Step: "steps[0].latest", Scope: state.Entity, Key: key}
		r := &kgo.Record{Topic: "tailrace.warehouse.state", Partition: partition, Key: k.Append(nil), Value: []byte(`{}`)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Error(err)
		}
	}
	for partition := range int32(3) {
		remember(partition, fmt.Sprintf("%d", partition))
	}
	g := &globals{Config: filepath.Join(t.TempDir(), "processor.yaml")}
	text := fmt.Sprintf("name: warehouse\nkafka: {brokers: [%q]}\nregistry: {url: \"http://127.0.0.1:1\"}\nsource: {topics: [shop.public.orders]}\nsink: {kafka: {}}\n", b.Addr())
	if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := g.Load()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := s.eachPiece(t.Context(), query{}, func(p *piece) error {
		got = append(got, fmt.Sprintf("%d/%s", *p.Partition, p.Key))
		if p.Key == "0" {
			remember(1, "late")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0/0", "1/1", "1/late", "2/2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStateOfAStepInPostgres(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("latest.yaml", s.configuration("steps: [{latest: {table: public.documents}}]\n"))
	s.start(file)
	s.publish(1, "1", "5.00")
	until(t, "the document", func() bool { return s.count("SELECT count(*) FROM public.documents") == 1 })
	if got, want := kinds(s.pieces(0, file, "get", "1")), "entity steps[0].latest 1, row public.orders 1, target public.documents 1"; got != want {
		t.Errorf("get 1: got %s, want %s", got, want)
	}
}

func TestStateOfASinkWithoutPositions(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("out.yaml", s.into("{stdout: {}}"))
	if code, _, errs := runToEndWith(t, "", "state", "list", "-c", file); code != 1 || !strings.Contains(errs, "processor dlq list") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// Rows are gathered by a value that is not their key, through the internal topic.
func TestLatestByAnotherKey(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	steps := "steps: [{latest: {table: public.totals, key: row.total}}]\n"
	if code, out, errs := runToEndWith(t, "SINK="+s.database, "lint", "-c", s.write("wrong.yaml", s.configuration(steps))); code != 4 || !strings.Contains(out, "steps[0].latest.key: needs sink.kafka") {
		t.Errorf("lint with another sink: exit %d\n%s%s", code, out, errs)
	}
	misspelt := s.write("misspelt.yaml", s.into("{kafka: {}}")+"steps:\n  - latest: {table: public.totals, keys: {public.orders: row.totl}}\n")
	if code, out, errs := runToEnd(t, "lint", "-c", misspelt); code != 4 || !strings.Contains(out, `misspelt.yaml:9:62: error: steps[0].latest.keys.public.orders: there is no column "totl"; did you mean total?`) {
		t.Errorf("lint of a key: exit %d\n%s%s", code, out, errs)
	}
	file := s.write("key.yaml", s.into("{kafka: {}}")+steps)
	s.publish(1, "1", "5.00")
	s.publish(2, "2", "5.00")
	if code, out, errs := runToEnd(t, "lint", "-c", file); code != 0 {
		t.Errorf("lint: exit %d\n%s%s", code, out, errs)
	}
	s.start(file)
	document := func(key string) string {
		for _, p := range s.pieces(0, file, "list") {
			if p.Kind == kindEntity && p.Step == "steps[0].latest" && p.Key == key {
				return string(p.Value)
			}
		}
		return ""
	}
	both, one := `{"public.orders":[{"id":1,"total":5.00},{"id":2,"total":5.00}]}`, `{"public.orders":[{"id":1,"total":5.00}]}`
	until(t, "both rows in one document", func() bool { return document("5.00") == both })
	if got := s.pieces(0, file, "get", "2"); len(got) != 1 || got[0].Kind != kindRow || got[0].Entity != "5.00" {
		t.Errorf("get 2: %+v", got)
	}
	s.publish(3, "2", "7.00")
	until(t, "a document each", func() bool {
		return document("5.00") == one && document("7.00") == `{"public.orders":[{"id":2,"total":7.00}]}`
	})
}

// The topics that the pipeline makes take records of max_record, and not the brokers'
// default of a megabyte.
func TestTopicsThatAreMadeTakeLargeRecords(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	file := s.write("large.yaml", s.into("{kafka: {max_record: 4MiB, topics: {config: {retention.ms: \"1000000\"}}}}")+"steps: [{latest: {table: public.documents, key: row.total}}]\n")
	s.publish(1, "1", "1.00")
	s.start(file)
	until(t, "the document", func() bool { return strings.Contains(kinds(s.pieces(0, file, "list")), "entity steps[0].latest 1.00") })
	described, err := kadm.NewClient(s.client).DescribeTopicConfigs(t.Context(), "warehouse.public.documents", "tailrace.warehouse.entity", "tailrace.warehouse.state")
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]string{"warehouse.public.documents": "4259840", "tailrace.warehouse.entity": "4259840", "tailrace.warehouse.state": "8454144"} {
		found, err := described.On(topic, nil)
		if err != nil || found.Err != nil {
			t.Fatal(topic, err, found.Err)
		}
		settings := map[string]string{}
		for _, c := range found.Configs {
			settings[c.Key] = c.MaybeValue()
		}
		if got := settings["max.message.bytes"]; got != want {
			t.Errorf("%s: max.message.bytes %s, want %s", topic, got, want)
		}
		if topic == "warehouse.public.documents" && settings["retention.ms"] != "1000000" {
			t.Errorf("the setting of the configuration: %s", settings["retention.ms"])
		}
	}
}
