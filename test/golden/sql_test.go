package golden

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// statements splits a script at the semicolons that end its statements, as psql
// does: not in quotes, dollar quotes or comments.
func statements(script string) []string {
	var out []string
	for len(script) > 0 {
		n := statementEnd(script)
		if s := strings.TrimSpace(script[:n]); s != "" && s != ";" {
			out = append(out, s)
		}
		script = script[n:]
	}
	return out
}

var dollarQuote = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_]*)?\$`)

// statementEnd is the length of the script's first statement, its semicolon
// included.
func statementEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == ';':
			return i + 1
		case s[i] == '\'':
			escapes := i > 0 && (s[i-1] == 'E' || s[i-1] == 'e')
			for i++; i < len(s) && s[i] != '\''; i++ {
				if escapes && s[i] == '\\' {
					i++
				}
			}
		case s[i] == '"':
			i += after(s[i+1:], `"`)
		case strings.HasPrefix(s[i:], "--"):
			i += after(s[i:], "\n") - 1
		case s[i] == '$':
			if q := dollarQuote.FindString(s[i:]); q != "" {
				i += len(q) + after(s[i+len(q):], q) - 1
			}
		}
	}
	return len(s)
}

// after is the length of s up to and with the first end, or of all of s.
func after(s, end string) int {
	if n := strings.Index(s, end); n >= 0 {
		return n + len(end)
	}
	return len(s)
}

func TestStatementsAreSplitAsPsqlDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		want   []string
	}{
		{"", nil},
		{" ;\n", nil},
		{"SELECT 1", []string{"SELECT 1"}},
		{"SELECT ';';\nSELECT 2;\n", []string{"SELECT ';';", "SELECT 2;"}},
		{"SELECT 'it''s;', '\\'; SELECT 2", []string{"SELECT 'it''s;', '\\';", "SELECT 2"}},
		{`SELECT E'\';'; SELECT 2`, []string{`SELECT E'\';';`, "SELECT 2"}},
		{`SELECT ";" ; SELECT 2`, []string{`SELECT ";" ;`, "SELECT 2"}},
		{"DO $$ BEGIN a; END $$; DO $x$ $$;$$ $x$;", []string{"DO $$ BEGIN a; END $$;", "DO $x$ $$;$$ $x$;"}},
		{"SELECT 1 -- a; b\n, 2; SELECT 3", []string{"SELECT 1 -- a; b\n, 2;", "SELECT 3"}},
		{"SELECT a$b; SELECT $1;", []string{"SELECT a$b;", "SELECT $1;"}},
	} {
		if got := statements(c.script); !slices.Equal(got, c.want) {
			t.Errorf("%q\n got %q\nwant %q", c.script, got, c.want)
		}
	}
}
