package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	embedded "github.com/tailrace/tailrace/internal/embedded/registry"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

func TestAgainstAConfluentCompatibleRegistry(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := registry.New(registry.Config{URLs: []string{server.URL()}})
	ctx := t.Context()
	const subject = "shop.public.orders-value"
	v1 := `{"type":"record","name":"Value","namespace":"shop","fields":[{"name":"id","type":{"type":"int","connect.default":0},"default":0}],"connect.name":"shop.Value"}`
	v2 := strings.Replace(v1, `"default":0}]`, `"default":0},{"name":"note","type":["null","string"],"default":null}]`, 1)
	bad := strings.Replace(v1, `"default":0}]`, `"default":0},{"name":"must","type":"string"}]`, 1)

	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lookup(ctx, subject, v1); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("lookup before: %v", err)
	}
	if ok, _, err := c.Compatible(ctx, subject, bad); !ok || err != nil {
		t.Errorf("a new subject takes everything: %v, %v", ok, err)
	}
	first, err := c.Register(ctx, subject, v1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Register(ctx, subject, v1); err != nil || again != first {
		t.Errorf("again: %d, %v, want %d", again, err, first)
	}
	if text, err := c.SchemaByID(ctx, first); err != nil || text != v1 {
		t.Errorf("text %s, %v", text, err)
	}
	second, err := c.Register(ctx, subject, v2)
	if err != nil || second == first {
		t.Errorf("second version: %d, %v", second, err)
	}
	if found, err := c.Lookup(ctx, subject, v1); err != nil || found != first {
		t.Errorf("lookup: %d, %v", found, err)
	}
	ok, messages, err := c.Compatible(ctx, subject, bad)
	if ok || err != nil || len(messages) == 0 {
		t.Errorf("compatible: %v %q %v", ok, messages, err)
	}
	var refused *registry.IncompatibleError
	if _, err := c.Register(ctx, subject, bad); !errors.As(err, &refused) || refused.Subject != subject || len(refused.Messages) == 0 {
		t.Errorf("register: %v", err)
	}
	if _, err := c.Register(ctx, subject, `{"type":"nonsense"}`); !errors.Is(err, registry.ErrInvalid) {
		t.Errorf("register: %v", err)
	}
	if _, err := c.SchemaByID(ctx, 99999); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("id: %v", err)
	}
}

// A refusal of a real registry reaches the caller of the encoder with the column,
// and everything that a check says of it agrees.
func TestRefusedColumnAgainstARegistry(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := registry.New(registry.Config{URLs: []string{server.URL()}})
	integer := &cdc.Type{Schema: "pg_catalog", Name: "int4", Kind: cdc.KindBase}
	text := &cdc.Type{Schema: "pg_catalog", Name: "text", Kind: cdc.KindBase}
	table := func(extra ...cdc.Column) *cdc.Table {
		return &cdc.Table{Schema: "public", Name: "t", Facts: true, Key: []int{0},
			Columns: append([]cdc.Column{{Name: "id", Type: integer, Modifier: -1, NotNull: true}}, extra...)}
	}
	for _, strategy := range []string{"topic", "record", "topic_record"} {
		settings := schema.Settings{Subject: strategy}
		e := schema.NewEncoder(settings, c)
		topic := "shop." + strategy
		plan, err := e.Plan(t.Context(), table(), topic)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Plan(t.Context(), table(cdc.Column{Name: "note", Type: text, Modifier: -1, NotNull: true}), topic)
		var refused *cdc.RefusedError
		if !errors.As(err, &refused) || refused.Column != "note" {
			t.Fatalf("%s: got %v", strategy, err)
		}
		_, value, err := settings.Subjects(topic, plan.KeySchema(), plan.ValueSchema())
		if err != nil || refused.Subject != value {
			t.Errorf("refused %s, want %s, %v", refused.Subject, value, err)
		}
		_, wider, err := schema.Describe(settings, table(cdc.Column{Name: "note", Type: text, Modifier: -1, NotNull: true}), topic)
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Ask(t.Context(), value, wider)
		if err != nil || v.Compatible || v.Registered || v.Version != 1 || v.Latest != plan.ValueSchema() || v.Level != "BACKWARD" || len(v.Reasons) == 0 {
			t.Errorf("verdict %+v, %v", v, err)
		}
		if got := schema.Blame(v.Level, wider, []string{v.Latest}, v.Reasons); got != "note" {
			t.Errorf("blamed %q", got)
		}
		if v, err := c.Ask(t.Context(), value, plan.ValueSchema()); err != nil || !v.Registered || !v.Compatible {
			t.Errorf("verdict %+v, %v", v, err)
		}
	}
}
