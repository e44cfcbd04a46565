package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/broker"
)

// cluster is a broker of a test's own, and an administrator of it.
func cluster(t *testing.T) (Config, *kadm.Client) {
	t.Helper()
	b, err := broker.Start(broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return Config{Brokers: []string{b.Addr()}}, kadm.NewClient(client)
}

func topic(t *testing.T, admin *kadm.Client, partitions int32, name string, settings ...string) {
	t.Helper()
	m := map[string]*string{}
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		m[key] = &value
	}
	resp, err := admin.CreateTopic(t.Context(), partitions, 1, m, name)
	if err := errors.Join(err, resp.Err); err != nil {
		t.Fatal(err)
	}
}

// transaction writes values into partition 0 and commits or aborts them.
func transaction(t *testing.T, client *kgo.Client, name string, end kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v)}}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func writer(t *testing.T, c Config) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...), kgo.TransactionalID(t.Name()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// collect reads until the end.
func collect(t *testing.T, c TailConfig) []string {
	t.Helper()
	c.UntilEnd = true
	var got []string
	if err := Tail(t.Context(), c, func(m Message) error {
		got = append(got, string(m.Value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTailReadsWhatIsCommittedAndEnds(t *testing.T) {
	t.Parallel()
	c, admin := cluster(t)
	topic(t, admin, 3, "shop.public.orders")
	w := writer(t, c)
	transaction(t, w, "shop.public.orders", kgo.TryCommit, "a", "b")
	transaction(t, w, "shop.public.orders", kgo.TryAbort, "x", "y")
	transaction(t, w, "shop.public.orders", kgo.TryCommit, "c")
	transaction(t, w, "shop.public.orders", kgo.TryAbort, "z")
	// An open transaction does not keep the end away.
	if err := w.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := w.ProduceSync(t.Context(), &kgo.Record{Topic: "shop.public.orders", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	tail := TailConfig{Config: c, Name: "shop"}
	for _, k := range []struct {
		from TailFrom
		want []string
	}{
		{TailFrom{}, []string{"a", "b", "c"}},
		{TailFrom{Offset: 1}, []string{"b", "c"}},
		{TailFrom{Offset: 3}, []string{"c"}},
		{TailFrom{Offset: 1000}, nil},
		{TailFrom{End: true}, nil},
	} {
		tail.From = k.from
		if got := collect(t, tail); !slices.Equal(got, k.want) {
			t.Errorf("from %+v: got %q, want %q", k.from, got, k.want)
		}
	}
}

func TestTailFindsTopics(t *testing.T) {
	t.Parallel()
	c, admin := cluster(t)
	w := writer(t, c)
	for _, name := range []string{"shop.public.orders", "shop.public.message", "shop.other.orders", "shop.dead_letter", "shop.message", "shop.public.orders.replay.1", "other.public.orders", "tailrace.shop.progress", "routed"} {
		topic(t, admin, 1, name)
		transaction(t, w, name, kgo.TryCommit, name)
	}
	tail := TailConfig{Config: c, Name: "shop", Also: []string{"routed"}}
	got := collect(t, tail)
	slices.Sort(got)
	if want := []string{"routed", "shop.other.orders", "shop.public.message", "shop.public.orders"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for asked, want := range map[string]string{"public.orders": "shop.public.orders", "other.public.orders": "other.public.orders", "shop.dead_letter": "shop.dead_letter", "message": "shop.public.message"} {
		tail.Topics = []string{asked}
		if got := collect(t, tail); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", asked, got, want)
		}
	}
	for asked, want := range map[string]string{"orders": "which of", "nothing": "there are: "} {
		tail.Topics = []string{asked}
		if err := Tail(t.Context(), tail, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", asked, err)
		}
	}
}

func TestTailEndsWhenToldTo(t *testing.T) {
	t.Parallel()
	c, admin := cluster(t)
	topic(t, admin, 1, "shop.public.orders")
	transaction(t, writer(t, c), "shop.public.orders", kgo.TryCommit, "a", "b", "c")
	count := 0
	if err := Tail(t.Context(), TailConfig{Config: c, Name: "shop"}, func(m Message) error {
		if count++; count == 2 {
			return ErrEnough
		}
		return nil
	}); err != nil || count != 2 {
		t.Errorf("got %v after %d", err, count)
	}
	bad := errors.New("bad")
	if err := Tail(t.Context(), TailConfig{Config: c, Name: "shop"}, func(Message) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Tail(ctx, TailConfig{Config: c, Name: "shop"}, func(Message) error { cancel(); return nil }); err != nil {
		t.Errorf("stopped: %v", err)
	}
}

func TestCheckOfTopics(t *testing.T) {
	t.Parallel()
	c, admin := cluster(t)
	topic(t, admin, 2, "shop.public.small", "max.message.bytes=1000")
	topic(t, admin, 3, "shop.public.compacted", "cleanup.policy=compact", "max.message.bytes=9000000")
	topic(t, admin, 2, ProgressTopic("shop"), "cleanup.policy=delete")
	options := CheckOptions{
		Name: "shop", Topics: []string{"shop.public.small", "shop.public.compacted", "shop.public.missing"},
		Create: true, Partitions: 3, Replication: -1, MaxRecord: 8 << 20, SingleBroker: true,
	}
	for _, want := range []struct {
		level      cdc.Level
		name, what string
	}{
		{cdc.LevelError, "max_message_bytes", "shop.public.small takes records of 1000 bytes"},
		{cdc.LevelWarning, "cleanup_policy", "shop.public.compacted is compacted"},
		{cdc.LevelInfo, "partitions", "shop.public.small has 2 partitions"},
		{cdc.LevelInfo, "topic", "makes topics: shop.public.missing"},
		{cdc.LevelInfo, "replicas", "topic shop.public.small has 1 replicas"},
		{cdc.LevelError, "internal_topic", "tailrace.shop.progress has cleanup.policy=delete"},
		{cdc.LevelError, "internal_topic", "tailrace.shop.progress has 2 partitions"},
	} {
		wantFinding(t, Check(t.Context(), c, options), want.level, want.name, want.what)
	}
	options.Create, options.SingleBroker, options.Replication = false, false, 3
	findings := Check(t.Context(), c, options)
	wantFinding(t, findings, cdc.LevelError, "topic", "kafka.topics.create is false: shop.public.missing")
	wantFinding(t, findings, cdc.LevelError, "replicas", "too few for three replicas")
	wantFinding(t, findings, cdc.LevelError, "replicas", "replication_factor is 3, above the number of brokers, 1")
}

func wantFinding(t *testing.T, findings []cdc.Finding, level cdc.Level, name, what string) {
	t.Helper()
	if !slices.ContainsFunc(findings, func(f cdc.Finding) bool {
		return f.Level == level && f.Name == name && strings.Contains(f.What, what)
	}) {
		t.Errorf("no %s %s: %s in\n%s", level, name, what, strings.ReplaceAll(fmt.Sprintf("%+v", findings), "} {", "}\n{"))
	}
}

func TestCheckWhenNoBrokerAnswers(t *testing.T) {
	t.Parallel()
	findings := Check(t.Context(), Config{Brokers: []string{"127.0.0.1:1"}}, CheckOptions{Name: "shop"})
	if len(findings) != 1 || findings[0].Level != cdc.LevelError || !strings.Contains(findings[0].What, "127.0.0.1:1") {
		t.Errorf("got %+v", findings)
	}
}
