package oracle

import (
	"context"
	"fmt"
	"github.com/tailrace/tailrace/internal/embedded/real"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("PRINT"))
	s := newScenario(uint64(n), profiles())
	for _, u := range s.setup {
		for _, x := range u.statements {
			fmt.Println(x + ";")
		}
	}
	for i, p := range s.phases {
		fmt.Println("-- PHASE", i)
		for _, u := range p {
			for _, x := range u.statements {
				fmt.Println(x + ";")
			}
			if u.copyFrom != "" {
				fmt.Println(u.copyFrom)
			}
		}
	}
}

func TestTry(t *testing.T) {
	parts, err := real.Installed(os.Getenv(envParts))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, parts)
	files, _ := filepath.Glob(os.Getenv("TRY"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		props, rest, _ := strings.Cut(string(b), "\n")
		p := &profile{name: "try", properties: map[string]string{}}
		for _, kv := range strings.Fields(props) {
			k, v, _ := strings.Cut(kv, "=")
			p.properties[k] = v
		}
		setup, work, _ := strings.Cut(rest, "-- work")
		t.Run(filepath.Base(f), func(t *testing.T) {
			s := newSession(t, w, p, []*scenario{{setup: []unit{statement("%s", setup)}, phases: [][]unit{{statement("%s", work)}}}})
			defer func() {
				found, err := newReader(w.kafka.Addr(), w.schemas.URL()).read(context.Background(), of(s.name))
				if err != nil {
					t.Fatal(err)
				}
				for _, topic := range topics(found, nil) {
					for _, r := range found[topic] {
						v := r.value.String()
						v, _, _ = strings.Cut(v, " source.version")
						fmt.Println(f, topic, "KEY", r.key, "VALUE", v, r.op())
					}
				}
			}()
			s.play(false)
		})
		b, _ = os.ReadFile(filepath.Join(w.dir, "connect", "connect.log"))
		os.WriteFile("/tmp/h8/connect.log", b, 0o644)
	}
}

func TestSourceTypes(t *testing.T) {
	parts, err := real.Installed(os.Getenv(envParts))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, parts)
	p := &profile{name: "try", properties: map[string]string{"column.propagate.source.type": ".*", "include.unknown.datatypes": "true"}}
	sc := &scenario{schema: "s", profile: p}
	g := &seedState{s: sc}
	sc.setup = append(sc.setup, statement("CREATE SCHEMA s"))
	for _, d := range definitions {
		sc.setup = append(sc.setup, statement("%s", g.in(d)))
	}
	cols := []string{"id serial primary key"}
	for i, k := range kinds() {
		cols = append(cols, fmt.Sprintf("c%d_%s %s", i, k.name, g.in(k.sql)))
	}
	for _, x := range []string{"varchar(7)[]", "numeric(8,3)[]", "bit(3)[]", "interval(3)", "interval year to month", "timetz(0)", "bigserial", "smallserial", "xid", "regclass", "numeric(5,0)", "numeric(9,-2)", "char", "time(6)", "timestamptz(6)", "float(10)", "refcursor", "\"char\"[]"} {
		cols = append(cols, fmt.Sprintf("x%d_%s %s", len(cols), strings.NewReplacer("(", "_", ")", "", ",", "_", "-", "m", "[", "a", "]", "", " ", "_", "\"", "").Replace(x), x))
	}
	sc.setup = append(sc.setup, statement("CREATE TABLE s.t (%s)", strings.Join(cols, ", ")), statement("INSERT INTO s.t DEFAULT VALUES"))
	sc.phases = [][]unit{{statement("INSERT INTO s.t DEFAULT VALUES")}}
	s := newSession(t, w, p, []*scenario{sc})
	s.play(false)
	found, err := newReader(w.kafka.Addr(), w.schemas.URL()).read(t.Context(), of(s.name))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found[s.name+".s.t"] {
		os.WriteFile("/tmp/h8/source_types_"+r.op()+".json", []byte(r.value.schema), 0o644)
	}
}

