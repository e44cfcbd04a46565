package lint

import (
	"go/parser"
	"go/token"
	"testing"
)

// TestRulesSeeWhatTheyForbid tries the rules on what they must and must not find.
func TestRulesSeeWhatTheyForbid(t *testing.T) {
	t.Parallel()
	const text = `package x
func a(t *testing.T) {
	time.Sleep(1)                                            // found
	for { time.Sleep(1) }                                    // found
	for { if late() { t.Fatalf("x") }; time.Sleep(1) }       // asks again
	synctest.Test(t, func(t *testing.T) { time.Sleep(1) })   // virtual
}`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(blindSleeps(f)); n != 2 {
		t.Errorf("%d sleeps are found, want 2", n)
	}
	home := "/" + "home/somebody"
	for line, want := range map[string]bool{
		home + "/x":                true,
		"cd " + home:               true,
		`"` + home + `/go"`:        true,
		"docs" + home:              false, // relative
		"https://example.com/home": false,
		"${DIR}" + home:            false,
	} {
		if got := machinePaths.MatchString(line); got != want {
			t.Errorf("%q: got %v", line, got)
		}
	}
	for _, c := range []struct {
		pattern, pkg string
		want         bool
	}{
		{"cdc", "cdc", true},
		{"cdc", "cdc/postgres", false},
		{"sinks/…", "sinks/postgres", true},
		{"sinks/…", "sinks", false},
		{"…", "anything", true},
	} {
		if got := fits(c.pattern, c.pkg); got != c.want {
			t.Errorf("fits(%q, %q) = %v", c.pattern, c.pkg, got)
		}
	}
}
