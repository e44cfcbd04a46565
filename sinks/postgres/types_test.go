package postgres

import (
	"testing"

	"github.com/tailrace/tailrace/sinks"
)

func TestColumnTakesOnlyWhatItHoldsUnchanged(t *testing.T) {
	t.Parallel()
	decimal := sinks.Column{Type: sinks.Decimal, Precision: 10, Scale: 2}
	for _, test := range []struct {
		have string
		c    sinks.Column
		want bool
	}{
		{"integer", sinks.Column{Type: sinks.Int32}, true},
		{"bigint", sinks.Column{Type: sinks.Int32}, true},
		{"text", sinks.Column{Type: sinks.Int32}, true},
		{"smallint", sinks.Column{Type: sinks.Int32}, false},
		{"numeric(10,0)", sinks.Column{Type: sinks.Int32}, true},
		{"numeric(9,0)", sinks.Column{Type: sinks.Int32}, false},
		{"integer", sinks.Column{Type: sinks.Int64}, false},
		{"numeric", sinks.Column{Type: sinks.Int64}, true},
		{"double precision", sinks.Column{Type: sinks.Float32}, true},
		{"real", sinks.Column{Type: sinks.Float64}, false},
		{"numeric", decimal, true},
		{"numeric(10,2)", decimal, true},
		{"numeric(12,4)", decimal, true},
		{"numeric(10,4)", decimal, false},
		{"numeric(12,1)", decimal, false},
		{"double precision", decimal, false},
		{"numeric(38,9)", sinks.Column{Type: sinks.Decimal}, false},
		{"jsonb", sinks.Column{Type: sinks.JSON}, true},
		{"json", sinks.Column{Type: sinks.Text}, false},
		{"character varying(20)", sinks.Column{Type: sinks.Text}, true}, // too long is the row's fault, not lost
		{"character(20)", sinks.Column{Type: sinks.Text}, false},
		{"inet", sinks.Column{Type: sinks.Text}, true},
		{"mood", sinks.Column{Type: sinks.Text}, true},
		{"integer", sinks.Column{Type: sinks.Text}, false},
		{"timestamp with time zone", sinks.Column{Type: sinks.TimestampTZ}, true},
		{"timestamp(6) with time zone", sinks.Column{Type: sinks.TimestampTZ}, true},
		{"timestamp(3) with time zone", sinks.Column{Type: sinks.TimestampTZ}, false},
		{"timestamp with time zone", sinks.Column{Type: sinks.Timestamp}, false},
		{"bigint[]", sinks.Column{Type: sinks.Int32, Array: true}, true},
		{"integer", sinks.Column{Type: sinks.Int32, Array: true}, false},
		{"bit varying(8)", sinks.Column{Type: sinks.Bits}, true},
	} {
		if got := takes(test.have, test.c); got != test.want {
			t.Errorf("takes(%q, %+v): got %v, want %v", test.have, test.c, got, test.want)
		}
	}
}

func TestColumnTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		c    sinks.Column
		want string
	}{
		{sinks.Column{Type: sinks.Decimal, Precision: 10, Scale: 2}, "numeric(10,2)"},
		{sinks.Column{Type: sinks.Decimal, Precision: 64, Scale: 2}, "numeric"},
		{sinks.Column{Type: sinks.Decimal}, "numeric"},
		{sinks.Column{Type: sinks.Decimal, Precision: 4, Scale: -2}, "numeric"},
		{sinks.Column{Type: sinks.Text, Array: true}, "text[]"},
		{sinks.Column{Type: sinks.JSON}, "json"},
	} {
		if got := columnType(test.c); got != test.want {
			t.Errorf("columnType(%+v): got %s, want %s", test.c, got, test.want)
		}
	}
}
