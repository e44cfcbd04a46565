package steps

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"pgregory.net/rapid"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// genInt, genBool and genText write expressions of which expr-lang's own machine
// and ours must think the same: without nulls, without division, and with numbers
// that do not overflow.
func genInt(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{"0", "1", "2", "7", "-3", "row.a", "row.b", "len(row.s)"}).Draw(t, "int")
	}
	switch rapid.IntRange(0, 4).Draw(t, "kind of int") {
	case 0:
		return genInt(t, 0)
	case 1:
		return fmt.Sprintf("(%s ? %s : %s)", genBool(t, depth-1), genInt(t, depth-1), genInt(t, depth-1))
	case 2:
		return fmt.Sprintf("abs(%s)", genInt(t, depth-1))
	case 3:
		return fmt.Sprintf("count(%s, # > %s)", genList(t), genInt(t, 0))
	}
	return fmt.Sprintf("(%s %s %s)", genInt(t, depth-1), rapid.SampledFrom([]string{"+", "-", "*"}).Draw(t, "operator"), genInt(t, depth-1))
}

func genList(t *rapid.T) string {
	return "[" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"0", "1", "2", "row.a", "row.b"}), 1, 4).Draw(t, "list"), ", ") + "]"
}

func genText(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{`""`, `"x"`, `"äX"`, "row.s", "row.t"}).Draw(t, "text")
	}
	switch rapid.IntRange(0, 3).Draw(t, "kind of text") {
	case 0:
		return genText(t, 0)
	case 1:
		return fmt.Sprintf("upper(%s)", genText(t, depth-1))
	case 2:
		return fmt.Sprintf("(%s ? %s : %s)", genBool(t, depth-1), genText(t, depth-1), genText(t, depth-1))
	}
	return fmt.Sprintf("(%s + %s)", genText(t, depth-1), genText(t, depth-1))
}

func genBool(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{"true", "false", "row.p"}).Draw(t, "bool")
	}
	switch rapid.IntRange(0, 6).Draw(t, "kind of bool") {
	case 0:
		return fmt.Sprintf("(%s %s %s)", genInt(t, depth-1), rapid.SampledFrom([]string{"<", "<=", "==", "!=", ">=", ">"}).Draw(t, "comparison"), genInt(t, depth-1))
	case 1:
		return fmt.Sprintf("(%s %s %s)", genText(t, depth-1), rapid.SampledFrom([]string{"<", "==", "!=", ">", "contains", "startsWith", "not endsWith"}).Draw(t, "comparison"), genText(t, depth-1))
	case 2:
		return fmt.Sprintf("!%s", genBool(t, depth-1))
	case 3:
		return fmt.Sprintf("(%s %s %s)", genInt(t, depth-1), rapid.SampledFrom([]string{"in", "not in"}).Draw(t, "in"), genList(t))
	case 4:
		return fmt.Sprintf("%s(%s, # %s %s)", rapid.SampledFrom([]string{"any", "all", "none", "one"}).Draw(t, "predicate"), genList(t), rapid.SampledFrom([]string{">", "=="}).Draw(t, "comparison"), genInt(t, 0))
	}
	return fmt.Sprintf("(%s %s %s)", genBool(t, depth-1), rapid.SampledFrom([]string{"&&", "||", "and", "or"}).Draw(t, "logic"), genBool(t, depth-1))
}

// TestExpressionsAgreeWithTheirLanguage compares with the machine of expr-lang.
func TestExpressionsAgreeWithTheirLanguage(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Columns: []sinks.Column{{Name: "a", Type: sinks.Int32}, {Name: "b", Type: sinks.Int64}, {Name: "s", Type: sinks.Text}, {Name: "t", Type: sinks.Text}, {Name: "p", Type: sinks.Bool}}}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.IntRange(-9, 9).Draw(t, "a"), rapid.IntRange(-9, 9).Draw(t, "b")
		s, u := rapid.SampledFrom([]string{"", "x", "äöX"}).Draw(t, "s"), rapid.SampledFrom([]string{"y", "xx"}).Draw(t, "t")
		p := rapid.Bool().Draw(t, "p")
		source := genBool(t, 4)
		program, err := expr.Compile(source, expr.Env(map[string]any{"row": map[string]any{"a": 0, "b": 0, "s": "", "t": "", "p": false}}))
		if err != nil {
			t.Skip(err)
		}
		want, err := expr.Run(program, map[string]any{"row": map[string]any{"a": a, "b": b, "s": s, "t": u, "p": p}})
		if err != nil {
			t.Skip(err)
		}
		e, err := Parse(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		ours, err := e.compile(shape)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		c := &processors.Change{Op: cdc.OpCreate, After: processors.Row{Columns: shape, Values: []cdc.Value{
			processors.Int(int64(a)), processors.Int(int64(b)), processors.Text(s), processors.Text(u), processors.Text(string("ft"[map[bool]int{true: 1}[p]])),
		}}}
		got, err := ours.run(&scope{}, c, c.After)
		if err != nil || got.true() != want.(bool) || got.null() {
			t.Fatalf("%s\nwith a=%d b=%d s=%q t=%q p=%v: got %v, %v; want %v", source, a, b, s, u, p, got, err, want)
		}
	})
}

// TestDecimalsAreExact compares with rationals.
func TestDecimalsAreExact(t *testing.T) {
	t.Parallel()
	digits := rapid.StringMatching(`-?[0-9]{1,25}(\.[0-9]{1,12})?`)
	rat := func(t *rapid.T, v value) *big.Rat {
		r, ok := new(big.Rat).SetString(string(appendDecimal(nil, v)))
		if !ok {
			t.Fatalf("%s is no number", appendDecimal(nil, v))
		}
		return r
	}
	rapid.Check(t, func(t *rapid.T) {
		x, y := digits.Draw(t, "x"), digits.Draw(t, "y")
		a, ok1 := parseDecimal([]byte(x))
		b, ok2 := parseDecimal([]byte(y))
		if !ok1 || !ok2 {
			t.Fatalf("%s or %s is not read", x, y)
		}
		p, q := rat(t, a), rat(t, b)
		if w, _ := new(big.Rat).SetString(x); w.Cmp(p) != 0 {
			t.Fatalf("%s is read as %s", x, appendDecimal(nil, a))
		}
		if got, want := compareDecimals(a, b), p.Cmp(q); got != want {
			t.Fatalf("%s against %s: got %d", x, y, got)
		}
		s := &scope{}
		for operator, want := range map[byte]*big.Rat{'+': new(big.Rat).Add(p, q), '-': new(big.Rat).Sub(p, q), '*': new(big.Rat).Mul(p, q)} {
			if got := s.compute(operator, a, b); s.err != nil || rat(t, got).Cmp(want) != 0 {
				t.Fatalf("%s %c %s: got %s, %v", x, operator, y, appendDecimal(nil, got), s.err)
			}
		}
		if q.Sign() != 0 {
			got := rat(t, s.compute('/', a, b))
			off := new(big.Rat).Sub(got, new(big.Rat).Quo(p, q))
			if off.Abs(off).Cmp(big.NewRat(5, 1e17)) > 0 {
				t.Fatalf("%s / %s: got %s", x, y, got.FloatString(30))
			}
			// x = y·trunc(x/y) + (x mod y), the remainder nearer to zero than y
			rest := rat(t, s.compute('%', a, b))
			whole := new(big.Rat).Quo(new(big.Rat).Sub(p, rest), q)
			if !whole.IsInt() || new(big.Rat).Abs(rest).Cmp(new(big.Rat).Abs(q)) >= 0 || rest.Sign()*p.Sign() < 0 {
				t.Fatalf("%s %% %s: got %s", x, y, rest.FloatString(12))
			}
		}
		n := rapid.Int32Range(0, 12).Draw(t, "digits")
		want, _ := new(big.Rat).SetString(p.FloatString(int(n))) // halves away from zero
		if got := rat(t, roundTo(a, n)); got.Cmp(want) != 0 {
			t.Fatalf("round(%s, %d): got %s", x, n, got.FloatString(12))
		}
		f := rat(t, floored(a))
		if over := new(big.Rat).Sub(p, f); !f.IsInt() || over.Sign() < 0 || over.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("floor(%s): got %s", x, f.FloatString(3))
		}
	})
}

// TestTimestampsAgreeWithTheCalendar compares with package time, which has the same
// calendar for all times.
func TestTimestampsAgreeWithTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(-210_866_803_200_000_000, 250_000_000_000_000_000).Draw(t, "us") // from 4714 BC
		at := time.UnixMicro(us).UTC()
		year, era := at.Year(), ""
		if year <= 0 {
			year, era = 1-year, " BC"
		}
		want := fmt.Sprintf("%04d-%s%s", year, at.Format("01-02 15:04:05.999999"), era)
		got := string(appendTemporal(nil, value{kind: kindTimestamp, n: us}))
		if got != want {
			t.Fatalf("%d: got %s, want %s", us, got, want)
		}
		if back, ok := parseTemporal([]byte(got), kindTimestamp); !ok || back.n != us {
			t.Fatalf("%s is read as %d, %v; want %d", got, back.n, ok, us)
		}
		day := string(appendTemporal(nil, value{kind: kindDate, n: floorDiv(us, dayMicros)}))
		if want := want[:strings.IndexByte(want, ' ')] + era; day != want {
			t.Fatalf("date of %d: got %s, want %s", us, day, want)
		}
	})
}

func TestArraysAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	column := &sinks.Column{Type: sinks.Text, Array: true}
	rapid.Check(t, func(t *rapid.T) {
		var elements []value
		for range rapid.IntRange(0, 5).Draw(t, "elements") {
			if rapid.Bool().Draw(t, "null") {
				elements = append(elements, value{})
			} else {
				elements = append(elements, text(rapid.SampledFrom([]string{"", "a", "NULL", "null", `q"\`, "b c", "{}", ",", "ä"}).Draw(t, "text")))
			}
		}
		written, err := appendArray(nil, list(elements), column)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseArray(written, kindText)
		if err != nil || !equal(list(back), list(elements)) {
			t.Fatalf("%s: got %v, %v", written, back, err)
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"row.amount > 10", "let x = json(row.doc); x.a.b[1] ?? 2", "any(row.tags, # == \"a\" && #index < 2)", "before.status != row.status", "1e5 % 0.3", "[1,[2]][1][0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		e, err := Parse(source)
		if err != nil {
			return
		}
		p, err := e.compile(orders)
		if err != nil {
			return
		}
		c := update()
		if v, err := p.run(&scope{}, c, c.After); err == nil {
			_ = appendText(nil, v)
		}
	})
}

func BenchmarkExpression(b *testing.B) {
	for _, source := range []string{"row.qty > 2", "row.amount > 10.5", "row.amount > 10 && row.status == \"new\"", "row.amount * row.qty", "row.status + \"-\" + text(row.qty)", "json(row.doc).a.b[0] == 1"} {
		b.Run(strings.ReplaceAll(source, " ", ""), func(b *testing.B) {
			e, err := Parse(source)
			if err != nil {
				b.Fatal(err)
			}
			p, err := e.compile(orders)
			if err != nil {
				b.Fatal(err)
			}
			c, s := update(), &scope{}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.run(s, c, c.After); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
