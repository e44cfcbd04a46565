package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// scenario is what one seed does to one schema.
type scenario struct {
	seed    uint64
	schema  string
	profile *profile
	// setup makes the tables and their first rows, before anybody reads.
	setup []unit
	// phases follow each other when both have published all of the one before.
	phases [][]unit
	// rewritten are tables that a phase makes, and whose storage is then written
	// anew: schema.table.
	rewritten []string
}

// unit is what is sent to the server at once: one transaction in several
// statements, a statement that commits by itself, or the input of a COPY.
type unit struct {
	statements []string
	copyFrom   string // of COPY … FROM STDIN, the only statement
}

func statement(format string, args ...any) unit {
	return unit{statements: []string{fmt.Sprintf(format, args...)}}
}

// seedState is what the generator knows while it writes a scenario.
type seedState struct {
	r       *rand.Rand
	s       *scenario
	kinds   []*kind
	mood    *kind
	tables  []*table
	counter int // of everything that must differ
	made    int // tables
}

// newScenario makes the scenario of a seed: the same for the same seed and
// version of this code, whatever else runs.
func newScenario(seed uint64, list []*profile) *scenario {
	p := list[seed%uint64(len(list))]
	s := &scenario{seed: seed, schema: fmt.Sprintf("s%d", seed), profile: p}
	g := &seedState{r: rand.New(rand.NewPCG(seed, 4)), s: s, kinds: kinds()}
	for _, k := range g.kinds {
		k.adjust(p)
		if k.name == "mood" {
			g.mood = k
		}
	}
	s.setup = append(s.setup, statement("CREATE SCHEMA %s", s.schema))
	for _, d := range definitions {
		s.setup = append(s.setup, statement("%s", g.in(d)))
	}
	for range 2 + g.r.IntN(3) {
		s.setup = append(s.setup, g.create()...)
	}
	for _, t := range g.tables {
		for range g.r.IntN(4) {
			s.setup = append(s.setup, unit{statements: []string{g.insert(t)}})
		}
	}
	for n := range 3 + g.r.IntN(3) {
		var work []unit
		if n > 0 {
			work = g.define()
		}
		for range 8 + g.r.IntN(14) {
			work = append(work, g.transaction()...)
		}
		s.phases = append(s.phases, work)
	}
	return s
}

// in puts the schema's name into a definition.
func (g *seedState) in(sql string) string { return strings.ReplaceAll(sql, "$", g.s.schema) }

func (g *seedState) next() int {
	g.counter++
	return g.counter
}

// chance is true n times of 100.
func (g *seedState) chance(n int) bool { return g.r.IntN(100) < n }

func pick[T any](g *seedState, list []T) T { return list[g.r.IntN(len(list))] }

// quote is a text as a literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
