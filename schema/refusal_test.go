package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

func TestBlameNamesTheColumn(t *testing.T) {
	t.Parallel()
	const (
		text   = `,{"name":"b","type":"string"}`
		number = `,{"name":"b","type":"int"}`
		renamd = `,{"name":"x_y","type":{"type":"int","connect.parameters":{"__debezium.source.column.name":"x$y"}}}`
	)
	// What Apicurio 3.3.3 and Confluent's registry 7 say of rows, whatever the column.
	union := []string{"list of diff types: [reader union lacking writer type: RECORD at /fields/1/type/1, reader union lacking writer type: RECORD at /fields/0/type/1]"}
	for name, test := range map[string]struct {
		level, before, after string
		reasons              []string
		want                 string
	}{
		"row, by comparison":             {"BACKWARD", envelopeOf(fieldID + number), envelopeOf(fieldID + text), union, "b"},
		"row, added":                     {"BACKWARD", envelopeOf(fieldID), envelopeOf(fieldID + text), union, "b"},
		"row, removed":                   {"FORWARD", envelopeOf(fieldID + text), envelopeOf(fieldID), union, "b"},
		"row, original name":             {"FULL", envelopeOf(fieldID), envelopeOf(fieldID + renamd), nil, "x$y"},
		"row, only the level's":          {"FORWARD", envelopeOf(fieldID + number), envelopeOf(`{"name":"id","type":"long"}` + number + `,{"name":"c","type":"int"}`), union, "id"},
		"row, nothing breaks":            {"BACKWARD", envelopeOf(fieldID + text), envelopeOf(fieldID), union, ""},
		"row, no level is known":         {"", envelopeOf(fieldID), envelopeOf(fieldID + text), union, ""},
		"row, a registry that goes down": {"", envelopeOf(fieldID), envelopeOf(fieldID + text), []string{"The field 'b' at path '/fields/0/type/1/fields/1' in the new schema has no default value"}, "b"},
		"envelope's own field":           {"BACKWARD", envelopeOf(fieldID), envelopeOf(fieldID), []string{"reader type: INT at /fields/2/type"}, ""},
		"key, Confluent": {
			"BACKWARD", compatRecord(fieldID), compatRecord(fieldID + text),
			[]string{"The field 'b' at path '/fields/1' in the new schema has no default value and is missing in the old schema"}, "b",
		},
		"key, Apicurio": {
			"BACKWARD", compatRecord(fieldID + number), compatRecord(fieldID + text),
			[]string{"list of diff types: [reader type: STRING not compatible with writer type: INT at /fields/1/type]"}, "b",
		},
		// The same place is another column in each.
		"key, by name":        {"FULL", compatRecord(fieldID + text), compatRecord(fieldID + `,{"name":"c","type":"int"}`), []string{"[b at /fields/1]"}, "b"},
		"key, reader is new":  {"BACKWARD", compatRecord(fieldID + text), compatRecord(fieldID + `,{"name":"c","type":"int"}`), []string{"TYPE_MISMATCH at /fields/1/type"}, "c"},
		"key, reader is old":  {"FORWARD_TRANSITIVE", compatRecord(fieldID + text), compatRecord(fieldID + `,{"name":"c","type":"int"}`), []string{"TYPE_MISMATCH at /fields/1/type"}, "b"},
		"key, full, words":    {"FULL", compatRecord(fieldID + text), compatRecord(fieldID + `,{"name":"c","type":"int"}`), []string{"The type (path '/fields/1/type') of a field in the old schema does not match with the new schema"}, "b"},
		"a place that is not": {"BACKWARD", compatRecord(fieldID), compatRecord(fieldID), []string{"at /fields/99999999999999999999/type and /fields/7"}, ""},
		"not a schema":        {"BACKWARD", compatRecord(fieldID), "x", []string{"at /fields/0"}, ""},
		"old one unreadable":  {"BACKWARD", "x", compatRecord(fieldID + text), []string{"at /fields/1"}, "b"},
	} {
		if got := Blame(test.level, test.after, []string{test.before}, test.reasons); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	// The last version would do; the one before it does not.
	versions := []string{envelopeOf(fieldID), envelopeOf(fieldID + text)}
	if got := Blame("BACKWARD", versions[1], versions, nil); got != "" {
		t.Errorf("got %q", got)
	}
	if got := Blame("BACKWARD_TRANSITIVE", versions[1], versions, nil); got != "b" {
		t.Errorf("got %q", got)
	}
	if got := Blame("BACKWARD", versions[0], nil, []string{"at /fields/0/type/1/fields/0/type"}); got != "id" {
		t.Errorf("got %q", got)
	}
}

// refusing is a registry that refuses what a test says, and may know the past.
type refusing struct {
	subject string
	err     error
}

func (r refusing) Register(_ context.Context, subject, _ string) (int, error) {
	if subject == r.subject {
		return 0, fmt.Errorf("asked: %w", r.err)
	}
	return 1, nil
}

type historian struct {
	refusing
	level   string
	schemas []string
	err     error
}

func (h historian) Versions(_ context.Context, subject string) (string, []string, error) {
	if subject != h.subject {
		return "", nil, errors.New("asked for another subject")
	}
	return h.level, h.schemas, h.err
}

type incompatible []string

func (i incompatible) Error() string     { return "no: " + strings.Join(i, "; ") }
func (i incompatible) Reasons() []string { return i }

func TestEncoderSaysWhichColumnIsRefused(t *testing.T) {
	t.Parallel()
	_, old, err := Describe(Settings{}, customers(), "shop.inventory.customers")
	if err != nil {
		t.Fatal(err)
	}
	changed := customers()
	changed.Columns = append(slices.Clone(changed.Columns), cdc.Column{Name: "note", Type: base("text"), Modifier: -1, NotNull: true})
	no := refusing{"shop.inventory.customers-value", incompatible{"reader union lacking writer type: RECORD at /fields/1/type/1"}}
	key := refusing{"shop.inventory.customers-key", incompatible{"INT at /fields/0/type"}}
	for name, test := range map[string]struct {
		registry Registrar
		column   string
	}{
		"with a past":         {historian{no, "BACKWARD", []string{old}, nil}, "note"},
		"another level":       {historian{no, "FORWARD", []string{old}, nil}, ""},
		"past not to be had":  {historian{no, "", nil, errors.New("down")}, ""},
		"without a past":      {no, ""},
		"key, without a past": {key, "id"},
	} {
		_, err := NewEncoder(Settings{}, test.registry).Plan(t.Context(), changed, "shop.inventory.customers")
		var refused *cdc.RefusedError
		if !errors.As(err, &refused) || refused.Column != test.column || !strings.HasPrefix(refused.Subject, "shop.inventory.customers-") ||
			!strings.Contains(err.Error(), "at /fields/") || strings.Contains(err.Error(), "no: ") || !errors.As(err, new(incompatible)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err = NewEncoder(Settings{}, refusing{no.subject, errors.New("down")}).Plan(t.Context(), changed, "shop.inventory.customers")
	var refused *cdc.RefusedError
	if err == nil || errors.As(err, &refused) {
		t.Errorf("an error that is no refusal: %v", err)
	}
}
