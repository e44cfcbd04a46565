package schema

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// numbers is a registry that gives each text one id.
type numbers map[string]int

func (n numbers) Register(_ context.Context, _, schema string) (int, error) {
	if n[schema] == 0 {
		n[schema] = len(n) + 1
	}
	return n[schema], nil
}

func keyTable(column cdc.Column) *cdc.Table {
	column.Name, column.Replicated = "id", true
	if column.Type == nil {
		column.Type = &cdc.Type{OID: 23, Schema: "pg_catalog", Name: "int4", Kind: cdc.KindBase}
	}
	if column.Modifier == 0 {
		column.Modifier = -1
	}
	return &cdc.Table{OID: 1, Schema: "public", Name: "t", Identity: cdc.IdentityDefault, Facts: true, Key: []int{0}, Columns: []cdc.Column{column}}
}

// planned is a plan of its own and the bytes of a key.
func planned(t *testing.T, e *Encoder, table *cdc.Table, pinned string, v cdc.Value) (*Plan, []byte) {
	t.Helper()
	plan, err := e.Plan(t.Context(), table, "shop.public.t")
	if pinned != "" {
		plan, err = e.PinnedPlan(t.Context(), table, "shop.public.t", pinned)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := plan.AppendKey(nil, []cdc.Value{v})
	if err != nil {
		t.Fatal(err)
	}
	return plan, key
}

func TestADefaultAloneMakesNoOtherKey(t *testing.T) {
	t.Parallel()
	seven := cdc.Value{Data: []byte("7"), State: cdc.Text}
	label := func(labels ...string) *cdc.Type {
		return &cdc.Type{OID: 9, Schema: "public", Name: "mood", Kind: cdc.KindEnum, Labels: labels}
	}
	for name, c := range map[string]struct {
		was, is cdc.Column
		value   cdc.Value
	}{
		"default":             {cdc.Column{NotNull: true}, cdc.Column{NotNull: true, Default: "5"}, seven},
		"default gone":        {cdc.Column{NotNull: true, Default: "5"}, cdc.Column{NotNull: true}, seven},
		"default of nullable": {cdc.Column{}, cdc.Column{Default: "5"}, seven},
		"null, default gone":  {cdc.Column{Default: "5"}, cdc.Column{}, cdc.Value{}},
		"not null any more":   {cdc.Column{NotNull: true}, cdc.Column{}, seven},
		"label":               {cdc.Column{NotNull: true, Type: label("a", "7")}, cdc.Column{NotNull: true, Type: label("a", "7", "b")}, seven},
	} {
		e := NewEncoder(Settings{Name: "shop"}, numbers{})
		was, before := planned(t, e, keyTable(c.was), "", c.value)
		is, after := planned(t, e, keyTable(c.is), was.KeySchema(), c.value)
		if !bytes.Equal(before, after) || is.KeySchema() != was.KeySchema() || is.KeyID() != was.KeyID() {
			t.Errorf("%s: key %x and then %x, schema %s and then %s", name, before, after, was.KeySchema(), is.KeySchema())
		}
		if fresh, _ := planned(t, e, keyTable(c.is), "", c.value); fresh.KeySchema() == was.KeySchema() {
			t.Errorf("%s: the case is none: both have one schema", name)
		}
	}
}

func TestOtherNamesOrTypesAreAnotherKey(t *testing.T) {
	t.Parallel()
	e := NewEncoder(Settings{Name: "shop"}, numbers{})
	was, _ := planned(t, e, keyTable(cdc.Column{NotNull: true}), "", cdc.Value{Data: []byte("7"), State: cdc.Text})
	renamed := keyTable(cdc.Column{NotNull: true})
	renamed.Columns[0].Name = "no"
	wider := keyTable(cdc.Column{NotNull: true, Type: &cdc.Type{OID: 20, Schema: "pg_catalog", Name: "int8", Kind: cdc.KindBase}})
	none := keyTable(cdc.Column{NotNull: true})
	none.Key = nil
	for is, table := range map[string]*cdc.Table{"no int": renamed, "id long": wider, "none": none} {
		_, err := e.PinnedPlan(t.Context(), table, "shop.public.t", was.KeySchema())
		var changed *cdc.KeyChangedError
		if !errors.As(err, &changed) || changed.Was != "id int" || changed.Is != is {
			t.Errorf("%v, want a change from id int to %s", err, is)
		}
	}
}

// TestNullInAKeyWhoseSchemaHasNone: the key cannot be written, and says so.
func TestNullInAKeyWhoseSchemaHasNone(t *testing.T) {
	t.Parallel()
	e := NewEncoder(Settings{Name: "shop"}, numbers{})
	was, _ := planned(t, e, keyTable(cdc.Column{NotNull: true}), "", cdc.Value{Data: []byte("7"), State: cdc.Text})
	is, err := e.PinnedPlan(t.Context(), keyTable(cdc.Column{}), "shop.public.t", was.KeySchema())
	if err != nil {
		t.Fatal(err)
	}
	var value *cdc.ValueError
	if _, err := is.AppendKey(nil, []cdc.Value{{}}); !errors.As(err, &value) || !strings.Contains(err.Error(), "stands for good") {
		t.Errorf("%v, want a ValueError", err)
	}
}
