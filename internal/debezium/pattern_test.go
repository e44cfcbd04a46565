package debezium

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestListsAreCutLikeDebeziumDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a.b, c.d ,,":   "a.b|c.d",
		`a\.b,c\,d`:     `a\.b|c,d`,
		`a\\,b`:         `a\\|b`,
		"":              "",
		` \Qa,b\E`:      `\Qa|b\E`,
		"x{1,2}":        "x{1|2}",
		`public\..*\`:   `public\..*\`,
		"public.t,\n u": "public.t|u",
	} {
		if got := strings.Join(splitList(text), "|"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestPatternsOfTables(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`public\.orders`:          "public.orders",
		`public.orders`:           "public.orders",
		`public\..*`:              "public.*",
		`public.*`:                "public*.*",
		`.*`:                      "*.*",
		`.*\.orders`:              "*.orders",
		`(.*)\.orders`:            "*.orders",
		`.*.orders`:               "/(?i).*.orders/",
		`public.skip.*`:           "/(?i)public.skip.*/",
		`public\.(a|b)`:           `/(?i)public\.(a|b)/`,
		`public\.Orders`:          `/(?i)public\.Orders/`,
		`\Qpublic.orders\E`:       "public.orders",
		`public\.a\$b`:            `/(?i)public\.a\$b/`,
		`orders`:                  "/(?i)orders/",
		`a.*b.*`:                  "/(?i)a.*b.*/",
		`public\.t\d+`:            `/(?i)public\.t\d+/`,
		`^public\.t$`:             "public.t",
		`(?i)^\Qpublic.\Et$`:      "public.t",
		`\Qa.b\E+`:                "/(?i)a\\.b+/",
		`(?i)public\.t`:           "public.t",
		`(?<s>public)\.(?:t|u)\z`: `/(?i)(?:public)\.(?:t|u)/`,
		`public\.[^x].*|b\.c`:     `/(?i)public\.[^x].*|b\.c/`,
		`public\.ü`:               `/(?i)public\.ü/`,
	} {
		e, err := parseRegex(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.ours(1); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestPatternsThatHaveNoEqual(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`public\.(?!tmp).*`: "look ahead",
		`(?<=a)b`:           "look ahead or behind",
		`[a-z&&[^b]]+`:      "intersections",
		`[a-z&&^b]+`:        "intersections",
		`[a[bc]]`:           "sets within sets",
		`.*+`:               "possessive",
		`(?>a)`:             "no equal",
		`(?U)\w`:            "no equal",
		`\p{javaLowerCase}`: `no \p`,
		`(a)\1`:             `no \1`,
		`\h`:                `no \h`,
		`*.orders`:          "nothing before it",
		`(?i)*.orders`:      "nothing before it",
		`a(b`:               "( without )",
		`a)b`:               ") without (",
		`[a`:                "[ without ]",
		`a\`:                `a \ at its end`,
		`a{1`:               "{ without }",
		`a{2000}`:           "RE2 has no equal",
		`[z-a]`:             "RE2 has no equal",
		`[]a]`:              "empty set",

		`public\.t$\.x`:           "an anchor",
		`a\b`:                     "an anchor",
		strings.Repeat("(", 5000): "want at most 4096",
	} {
		if _, err := parseRegex(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestPatternsOfColumnsAreCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`public.t.secret`:        "public.t:secret",
		`public\.t\.secret`:      "public.t:secret",
		`public\.t\.(a|b)`:       `public.t:/(?i)(a|b)/`,
		`.*\.secret`:             "*.*:secret",
		`.*.secret`:              `*.*:/(?i).*.secret/ *.*:secret`,
		`public.t.*`:             `/(?i)public.t.*/:*`,
		`.*`:                     "*.*:*",
		`public\.(t|u)\.x`:       `/(?i)public\.(t|u)/:x`,
		`(public\.t|b\.c)\.x`:    `/(?i)(public\.t|b\.c)/:x`,
		`(public\.t\.x|b\.c\.d)`: `b.c:d public.t:x`,
		`[^x]+\.y`:               "/(?i)[^x]+/:y",
		`orders`:                 "",
	} {
		e, err := parseRegex(text)
		if err != nil {
			t.Fatal(err)
		}
		cuts, ok := e.cutColumn()
		if !ok {
			t.Errorf("%s cannot be cut", text)
		}
		var got []string
		for _, c := range cuts {
			got = append(got, c.left.ours(1)+":"+c.right.ours(0))
		}
		slices.Sort(got)
		if s := strings.Join(slices.Compact(got), " "); s != want {
			t.Errorf("%s: got %s, want %s", text, s, want)
		}
	}
	if e, _ := parseRegex(`a.{1,5}b`); e != nil {
		if _, ok := e.cutColumn(); ok {
			t.Error("a counted repetition of dots was cut")
		}
	}
}

// TestCutsAreThePattern compares random patterns with the union of their cuts on
// random names: what is published and what is masked must not change.
func TestCutsAreThePattern(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	pieces := []string{"a", "b", `\.`, ".", ".*", "a*", "(a|b)", `(a\.|b)`, `(a\.b|.)`, "[ab]", "[^a]", "[.a]+", "b?", `(\.a)?`, ".+", `(a.)*`}
	random := func(from []string, n int) string {
		var b strings.Builder
		for range 1 + r.IntN(n) {
			b.WriteString(from[r.IntN(len(from))])
		}
		return b.String()
	}
	names := func() string { return random([]string{"a", "b", "aa"}, 2) }
	matched := 0
	for range 5_000 {
		text := random(pieces, 6)
		e, err := parseRegex(text)
		if err != nil {
			continue // a*? and the like
		}
		cuts, ok := e.cutColumn()
		if !ok {
			t.Fatalf("%s cannot be cut", text)
		}
		table, column := names()+"."+names(), names()
		want := regexp.MustCompile(`^(?:` + text + `)$`).MatchString(table + "." + column)
		got := slices.ContainsFunc(cuts, func(c cut) bool {
			return means(t, c.left.ours(1), table) && means(t, c.right.ours(0), column)
		})
		if got != want {
			t.Fatalf("seed %d: %s on %s.%s: got %v, want %v by %v", seed, text, table, column, got, want, cuts)
		}
		if whole := means(t, e.ours(2), table+"."+column); whole != want {
			t.Fatalf("seed %d: %s as %s on %s.%s: got %v, want %v", seed, text, e.ours(2), table, column, whole, want)
		}
		wantTable := regexp.MustCompile(`^(?:` + text + `)$`).MatchString(table)
		if got := means(t, e.ours(1), table); got != wantTable {
			t.Fatalf("seed %d: %s as %s on %s: got %v, want %v", seed, text, e.ours(1), table, got, wantTable)
		}
		schema, name, _ := strings.Cut(table, ".")
		parts, _ := e.cutTable()
		if got := slices.ContainsFunc(parts, func(c cut) bool { return means(t, c.left.ours(0), schema) && means(t, c.right.ours(0), name) }); got != wantTable {
			t.Fatalf("seed %d: %s in schema and table on %s: got %v, want %v", seed, text, table, got, wantTable)
		}
		if want || wantTable {
			matched++
		}
	}
	if matched < 300 {
		t.Errorf("only %d matches: the names do not fit the patterns", matched)
	}
}

// means tells whether a pattern of relay.yaml matches a name.
func means(t *testing.T, pattern, name string) bool {
	t.Helper()
	if len(pattern) > 1 && pattern[0] == '/' {
		re, err := regexp.Compile(`^(?:` + pattern[1:len(pattern)-1] + `)$`)
		if err != nil {
			t.Fatal(err)
		}
		return re.MatchString(name)
	}
	return regexp.MustCompile(`^` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `$`).MatchString(name)
}
