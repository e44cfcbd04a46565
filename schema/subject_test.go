package schema

import (
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// The expected names are those of io.confluent.kafka.serializers.subject's
// TopicNameStrategy, RecordNameStrategy and TopicRecordNameStrategy.
func TestSubjectsAreThoseThatConsumersLookUp(t *testing.T) {
	t.Parallel()
	const debezium = "io.debezium.connector."
	for strategy, want := range map[string][]string{
		"": {
			"my-shop.public.t-key", "my-shop.public.t-value", "my-shop.public.u-value", "my-shop.message-key", "my-shop.message-value",
			"my-shop.transaction-key", "my-shop.transaction-value", "__debezium-heartbeat.my-shop-key", "__debezium-heartbeat.my-shop-value",
		},
		"record": {
			"my_shop.public.t.Key", "my_shop.public.t.Envelope", "my_shop.public.u.Envelope", debezium + "postgresql.MessageKey", debezium + "postgresql.MessageValue",
			debezium + "common.TransactionMetadataKey", debezium + "common.TransactionMetadataValue", debezium + "common.ServerNameKey", debezium + "common.Heartbeat",
		},
		"topic_record": {
			"my-shop.public.t-my_shop.public.t.Key", "my-shop.public.t-my_shop.public.t.Envelope", "my-shop.public.u-my_shop.public.u.Envelope",
			"my-shop.message-" + debezium + "postgresql.MessageKey", "my-shop.message-" + debezium + "postgresql.MessageValue",
			"my-shop.transaction-" + debezium + "common.TransactionMetadataKey", "my-shop.transaction-" + debezium + "common.TransactionMetadataValue",
			"__debezium-heartbeat.my-shop-" + debezium + "common.ServerNameKey", "__debezium-heartbeat.my-shop-" + debezium + "common.Heartbeat",
		},
	} {
		strategies := []string{strategy}
		if strategy == "" {
			strategies = append(strategies, "topic") // the default by its name
		}
		for _, s := range strategies {
			registry := subjects{}
			e := NewEncoder(Settings{Name: "my-shop", Subject: s}, registry)
			keyed := &cdc.Table{Schema: "public", Name: "t", Facts: true, Key: []int{0}, Columns: []cdc.Column{{Name: "id", Type: base("int4"), Modifier: -1, NotNull: true}}}
			keyless := &cdc.Table{Schema: "public", Name: "u", Facts: true, Columns: keyed.Columns}
			_, err1 := e.Plan(t.Context(), keyed, "my-shop.public.t")
			_, err2 := e.Plan(t.Context(), keyless, "my-shop.public.u")
			_, err3 := e.Messages(t.Context(), "my-shop.message")
			_, err4 := e.Transactions(t.Context(), "my-shop.transaction")
			_, err5 := e.Heartbeats(t.Context(), "__debezium-heartbeat.my-shop")
			for _, err := range []error{err1, err2, err3, err4, err5} {
				if err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for subject := range registry {
				got = append(got, subject)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("strategy %q\n got %s\nwant %s", s, strings.Join(got, " "), strings.Join(want, " "))
			}
		}
	}
}

func TestSubjectsNeedRecords(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{`"string"`, `{"type":"enum","name":"e","symbols":["a"]}`, `{`, `{"type":"record"}`} {
		if _, _, err := (Settings{Subject: "record"}).Subjects("t", "", schema); err == nil || !strings.Contains(err.Error(), "value schema of topic t") {
			t.Errorf("%s: %v", schema, err)
		}
	}
	for schema, want := range map[string]string{
		`{"type":"record","name":"a.b.C","namespace":"ignored","fields":[]}`: "a.b.C",
		`{"type":"record","name":"C","fields":[]}`:                           "C",
	} {
		if _, got, err := (Settings{Subject: "record"}).Subjects("t", "", schema); got != want || err != nil {
			t.Errorf("%s: got %q, %v", schema, got, err)
		}
	}
	if err := (Settings{Subject: "record_name"}).Validate(); err == nil || !strings.Contains(err.Error(), "registry.subject") {
		t.Errorf("got %v", err)
	}
}
