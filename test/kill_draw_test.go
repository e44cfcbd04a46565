package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// drawn is one run of a harness: a point, a death, and the seed of all that is random
// in it.
type drawn struct {
	point, death int
	name         string
	seed         uint64
}

// runsPerWorker is how many runs have the same servers: a broker in this process keeps
// all that was ever written to it in memory.
const runsPerWorker = 20

// drawKills says which runs a harness of the processor has: few of them, or as many as
// the variable says, out of all points crossed with all deaths, each once before one
// comes again. TAILRACE_KILL draws only those whose name has its text; with a name in
// full, and a seed, it is that run.
func drawKills(t *testing.T, rng *rand.Rand, points, deaths []string, variable string, few int) [][]drawn {
	t.Helper()
	only, runs := os.Getenv("TAILRACE_KILL"), few
	if only != "" {
		runs = 1
	}
	if n := os.Getenv(variable); n != "" {
		var err error
		if runs, err = strconv.Atoi(n); err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
	}
	var all []drawn
	for p := range points {
		for d := range deaths {
			// A freeze outlasts the session: it is drawn in long runs.
			if name := points[p] + "/" + deaths[d]; only != "" && strings.Contains(name, only) || only == "" && (os.Getenv(variable) != "" || !strings.Contains(name, "frozen")) {
				all = append(all, drawn{point: p, death: d, name: name})
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("TAILRACE_KILL=%q: there is no such run", only)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	most := runsPerWorker
	if runs == few {
		most = (few + 1) / 2 // two at once
	}
	var workers [][]drawn
	for i := range runs {
		c := all[i%len(all)]
		if c.seed = rng.Uint64N(1 << 32); c.name == only && os.Getenv("TAILRACE_SEED") != "" {
			c.seed, _ = strconv.ParseUint(os.Getenv("TAILRACE_SEED"), 10, 64) // seed has seen it
		}
		if i%most == 0 {
			workers = append(workers, nil)
		}
		workers[len(workers)-1] = append(workers[len(workers)-1], c)
	}
	return workers
}

// runDrawn has the runs of each worker one after the other, and the workers at once: a
// run waits most of its time.
func runDrawn[W any](t *testing.T, workers [][]drawn, start func(*testing.T) W, run func(W, *testing.T, drawn)) {
	t.Helper()
	var all, passed atomic.Int32
	test := t.Name()
	t.Run("of", func(t *testing.T) {
		for n, part := range workers {
			t.Run(fmt.Sprintf("worker %d", n), func(t *testing.T) {
				t.Parallel()
				w := start(t)
				for _, c := range part {
					all.Add(1)
					if t.Run(c.name, func(t *testing.T) {
						t.Logf("repeat with: TAILRACE_SEED=%d TAILRACE_KILL='%s' go test ./test -run '^%s$'", c.seed, c.name, test)
						run(w, t, c)
					}) {
						passed.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d of %d runs passed", passed.Load(), all.Load())
}

// names of what has one.
func names[T any](all []T, name func(T) string) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = name(x)
	}
	return out
}
