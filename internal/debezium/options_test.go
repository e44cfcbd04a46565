package debezium

import (
	"os"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/internal/docsgen"
)

//go:generate go test . -run "^(TestPage|TestASample)" -count=1 -args -update

// known are the options of Debezium PostgreSQL 3.7.0.Final and of Connect with
// their defaults, as the connector's own definition and its documentation list
// them.
func known(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/options-3.7.tsv")
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if !ok {
			t.Fatalf("no tab in %q", line)
		}
		options[name] = value
	}
	if len(options) < 190 {
		t.Fatalf("only %d options", len(options))
	}
	return options
}

func TestEveryOptionIsInTheTable(t *testing.T) {
	t.Parallel()
	table := options()
	for name := range known(t) {
		o, _ := find(table, name)
		if o == nil {
			t.Errorf("%s: no line in the table", name)
		} else if o.name == "database.*" || o.name == "<side>.converter.*" {
			t.Errorf("%s: only the line of last resort, %s", name, o.name)
		}
	}
}

// TestDefaultsAskForNothing: an option at its default is as good as none.
func TestDefaultsAskForNothing(t *testing.T) {
	t.Parallel()
	for name, value := range known(t) {
		if name == "plugin.name" || minimal[name] != "" {
			continue // decoderbufs, which has no counterpart
		}
		_, r := imported(t, name, value)
		if len(r.Missing) > 0 {
			t.Errorf("%s = %s: %v", name, value, r.Missing)
		}
		for _, n := range r.Notes {
			if n.Option == name && value != "" && name != "driver.connectTimeout" {
				t.Errorf("%s = %s: %s", name, value, n.Text)
			}
		}
	}
}

func TestTheTableIsSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, o := range options() {
		switch {
		case seen[o.name]:
			t.Errorf("%s has two lines", o.name)
		case o.text == "":
			t.Errorf("%s has no text", o.name)
		case o.fate == mapped && (o.key == "" || o.read == nil):
			t.Errorf("%s is mapped to nothing", o.name)
		case o.fate == unneeded && o.read != nil:
			t.Errorf("%s needs nothing, and is read", o.name)
		}
		seen[o.name] = true
	}
}

func TestPageOfTheOptions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("| option of Debezium | | here | |\n|---|---|---|---|\n")
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`).Replace
	for _, o := range options() {
		key := ""
		if o.key != "" && o.fate != unneeded {
			key = "`" + o.key + "`"
		}
		b.WriteString("| `" + strings.ReplaceAll(o.name, "|", `\|`) + "` | " + o.fate.String() + " | " + key + " | " + escape(o.text) + " |\n")
	}
	docsgen.Section(t, "docs/migrating-from-debezium.md", "options", b.String())
}
