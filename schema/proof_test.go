package schema

import (
	"strings"
	"testing"
)

func TestProveRefusesWhatReadersWould(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"record","name":"r","fields":[{"name":"a","type":"int","default":0}]}`:                 "",
		`{"type":"record","name":"r","fields":[{"name":"a","type":["double","null"],"default":"NaN"}]}`: "",
		`{"type":"record","name":"r","fields":[{"name":"default","type":"string"}]}`:                    "",
		`{"type":"record","name":"r","fields":[{"name":"a","type":"int","default":"0"}]}`:               "no Avro schema",
		`{"type":"record","name":"r","fields":[{"name":"a$b","type":"int"}]}`:                           "no Avro schema",
		`{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`:   "no Avro schema",
		`{"type":"record","name":"r","fields":[{"name":"a","type":"unknown"}]}`:                         "no Avro schema",
		`{"type":"record","name":"r","fields":[`:                                                        "no JSON",
	} {
		err := prove(schema)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", schema, err, want)
		}
	}
}
