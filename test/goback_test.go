package test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

// backWorld is a relay under a workload, and a processor that is sent back.
type backWorld struct {
	*replayWorld
	work  *workload
	sink  string // URL
	extra string
	marks int
	proc  *process
	pops  string
}

func newBackWorld(t *testing.T) *backWorld {
	t.Helper()
	rng := seed(t)
	w := &backWorld{replayWorld: newReplayWorldWith(t, rng, replayConfig), sink: pgtest.NewDatabase(t)}
	w.work = newWorkload(w.database, rand.New(rand.NewPCG(rng.Uint64(), 1)), 3)
	w.work.next = 300
	w.sql(`ALTER TABLE accounts REPLICA IDENTITY FULL`) // or a changed key would leave the row without its big value
	return w
}

// pipeline writes a processor.yaml.
func (w *backWorld) pipeline(name, target, steps string) string {
	w.t.Helper()
	w.pops = freeAddr(w.t)
	file := filepath.Join(w.dir, name+".yaml")
	text := fmt.Sprintf("name: %s\nkafka: {brokers: [%q]}\nregistry: {url: %q}\nsource: {topics_pattern: '^%s\\.public\\.(accounts|pairs|loads|done)$'}\nsink: {postgres: {url: %q, table: %q}}\n"+
		"steps: [%s]\nops: {listen: %q}\ngroup: {session_timeout: 2s}\nerrors: {retry: {initial: 20ms, max: 200ms}}\n%s",
		w.name+"_"+name, w.broker.Addr(), w.registry.URL(), w.name, w.sink, target, steps, w.pops, w.extra)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func (w *backWorld) runs(file string) *process {
	w.t.Helper()
	w.proc = start(w.t, w.pops, "processor", "run", "-c", file, "--log-level", "warn")
	return w.proc
}

// struck runs the processor until it has partitions and a little longer, and kills it. It
// is not killed while it joins: the embedded broker would wait for it.
func (w *backWorld) struck(file string) {
	w.t.Helper()
	w.runs(file).awaitState("streaming")
	pause(w.t, w.rng.IntN(300))
	w.proc.kill()
}

// processor runs a command to its end.
func (w *backWorld) processor(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(bin, "processor"), args...)
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // the exit code tells
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// back is processor replay, which has to succeed in the end; some are killed before.
func (w *backWorld) back(kills int, file string, args ...string) {
	w.t.Helper()
	args = append([]string{"replay", "-c", file}, args...)
	for range kills {
		cmd := exec.Command(filepath.Join(bin, "processor"), args...)
		if err := cmd.Start(); err != nil {
			w.t.Fatal(err)
		}
		pause(w.t, 20+w.rng.IntN(150))
		_ = cmd.Process.Kill() // it may be through
		_ = cmd.Wait()
	}
	var out, errs string
	await(w.t, func() (bool, string) { // a processor that was killed is a member for a while
		var code int
		out, errs, code = w.processor(args...)
		if code != 0 && !strings.Contains(errs, "the pipeline runs") {
			w.t.Fatalf("processor %s: exit %d\n%s\n%s", strings.Join(args, " "), code, out, errs)
		}
		return code == 0, errs
	})
	w.t.Log(strings.TrimSpace(out))
}

// in runs statements in the sink.
func (w *backWorld) in(statements ...string) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.sink)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, q := range statements {
		if _, err := conn.Exec(w.t.Context(), q); err != nil {
			w.t.Fatalf("%s: %v", q, err)
		}
	}
}

// look reads a query's rows as texts.
func (w *backWorld) look(url, query string) (rows []string, err error) {
	conn, err := pgx.Connect(w.t.Context(), url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.Background())
	got, err := conn.Query(w.t.Context(), query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(got, pgx.RowTo[string])
}

// backTables are compared by these columns.
var backTables = map[string]string{
	"accounts": "id, note, big",
	"pairs":    "a, b, note, big",
	"loads":    "id, note",
}

// same waits until all that was committed is applied, and compares the sink's schema with
// the source.
func (w *backWorld) same(schema string) {
	w.t.Helper()
	w.marks++
	w.sql(fmt.Sprintf(`INSERT INTO done VALUES (%d)`, w.marks))
	await(w.t, func() (bool, string) {
		got, err := w.look(w.sink, fmt.Sprintf(`SELECT id::text FROM %s.done WHERE id = %d`, schema, w.marks))
		return err == nil && len(got) == 1, fmt.Sprintf("the mark %d has not come (%v): %s", w.marks, err, w.proc.ready().Reason)
	})
	differ := ""
	await(w.t, func() (bool, string) { // the mark's partition may be ahead of others
		differ = w.differ(schema)
		return differ == "", differ
	})
}

func (w *backWorld) differ(schema string) string {
	for _, table := range slices.Sorted(maps.Keys(backTables)) {
		row := fmt.Sprintf("SELECT md5(row(%s)::text) || ' ' || left(row(%s)::text, 60) FROM %%s.%s ORDER BY 1", backTables[table], backTables[table], table)
		want, err := w.look(w.database, fmt.Sprintf(row, "public"))
		if err != nil {
			return err.Error()
		}
		got, err := w.look(w.sink, fmt.Sprintf(row, schema))
		if err != nil && len(want) > 0 {
			return fmt.Sprintf("%s: %v", table, err)
		}
		if !slices.Equal(got, want) {
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					return fmt.Sprintf("%s: %d rows, want %d; the first that differs: got %s, want %s", table, len(got), len(want), nth(got, i), nth(want, i))
				}
			}
		}
	}
	return ""
}

func nth(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "none"
}

// changes works for a while.
func (w *backWorld) changes() {
	w.t.Helper()
	w.replayWorld.work(w.work, time.Duration(200+w.rng.IntN(400))*time.Millisecond)
}

// audited makes the sink remember every version that a row had.
func (w *backWorld) audited() {
	w.t.Helper()
	w.in(`CREATE TABLE audit (n bigserial PRIMARY KEY, id int, gen bigint, pos text COLLATE "C")`,
		`CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (id, gen, pos) VALUES (NEW.id, NEW._tailrace_gen, NEW._tailrace_pos); RETURN NEW; END $$`,
		`CREATE TRIGGER audit AFTER INSERT OR UPDATE OF _tailrace_pos ON public.accounts FOR EACH ROW EXECUTE FUNCTION audit()`)
}

// risen checks that no row ever went back within a generation, nor a generation itself.
func (w *backWorld) risen() {
	w.t.Helper()
	bad, err := w.look(w.sink, `SELECT format('%s: %s/%s behind %s/%s', id, gen, pos, before_gen, before_pos) FROM (SELECT id, gen, pos, lag(gen) OVER o AS before_gen, lag(pos) OVER o AS before_pos FROM audit WINDOW o AS (PARTITION BY id ORDER BY n)) a
		WHERE (gen, pos) <= (before_gen, before_pos) LIMIT 5`)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(bad) > 0 {
		w.t.Errorf("versions of rows did not rise:\n%s", strings.Join(bad, "\n"))
	}
}

// TestABugWroteWrongRows: since Tuesday every row was written wrong. The repaired pipeline
// goes back to before the bug; it, the processor and the relay are killed meanwhile.
func TestABugWroteWrongRows(t *testing.T) {
	t.Parallel()
	w := newBackWorld(t)
	good := w.pipeline("good", "{schema}.{table}", "")
	w.runs(good).awaitState("streaming")
	w.changes()
	w.same("public")
	w.audited()
	if code := w.proc.stop(); code != 0 {
		t.Fatalf("stop: exit %d", code)
	}
	tuesday := w.now()
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(w.dir, "bad.yaml") // the same pipeline, with a bug
	if err := os.WriteFile(bad, []byte(strings.Replace(string(text), "steps: []", `steps: [{tables: [public.accounts], map: {set: {note: '"wrong"'}}}]`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.runs(bad).awaitState("streaming")
	w.changes()
	w.sql(`INSERT INTO accounts VALUES (1000000, 'right', 'b')`, `INSERT INTO done VALUES (1000)`)
	await(t, func() (bool, string) {
		got, err := w.look(w.sink, `SELECT id::text FROM done WHERE id = 1000`)
		return err == nil && len(got) == 1, "the last row has not come"
	})
	await(t, func() (bool, string) {
		wrong, err := w.look(w.sink, `SELECT note FROM accounts WHERE id = 1000000`)
		return err == nil && len(wrong) == 1 && wrong[0] == "wrong", fmt.Sprintf("the bug has written %v, %v", wrong, err)
	})
	w.proc.stop()
	w.back(w.rng.IntN(3), good, "--from", tuesday)
	stopping := make(chan struct{})
	worked := make(chan error, 1)
	go func() { worked <- w.work.run(t.Context(), stopping) }()
	for range 2 {
		w.struck(good)
	}
	w.live.kill()
	w.runs(good)
	w.start()
	close(stopping)
	if err := <-worked; err != nil {
		t.Fatal(err)
	}
	w.same("public")
	w.risen()
}

// TestTheSinkWasRestored: a backup of the whole database has the offsets of its time, and
// the pipeline goes on from there by itself; a backup of the tables alone needs what is
// missing to be applied again.
func TestTheSinkWasRestored(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		t.Run(map[bool]string{true: "whole", false: "tables"}[whole], func(t *testing.T) {
			t.Parallel()
			w := newBackWorld(t)
			file := w.pipeline("good", "{schema}.{table}", "")
			w.runs(file).awaitState("streaming")
			w.changes()
			w.same("public")
			w.proc.stop()
			conf, err := pgx.ParseConfig(w.sink)
			if err != nil {
				t.Fatal(err)
			}
			backup := conf.Database + "_backup"
			w.sql(fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`, backup, conf.Database))
			t.Cleanup(func() { w.drop(backup) })
			yesterday := w.now()
			w.runs(file).awaitState("streaming")
			w.changes()
			w.same("public")
			w.proc.stop()
			if whole {
				w.sql(fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, conf.Database), fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`, conf.Database, backup))
			} else {
				w.restoreTables(backup)
				w.back(w.rng.IntN(2), file, "--from", yesterday, "--only-missing")
			}
			w.struck(file)
			w.changes()
			w.runs(file)
			w.same("public")
		})
	}
}

func (w *backWorld) drop(database string) {
	conn, err := pgx.Connect(context.Background(), w.database)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), `DROP DATABASE IF EXISTS `+database+` WITH (FORCE)`); err != nil {
		w.t.Error(err)
	}
}

// restoreTables fills the target tables from a backup, as pg_restore does of tables alone.
func (w *backWorld) restoreTables(backup string) {
	w.t.Helper()
	conf, err := pgx.ParseConfig(w.sink)
	if err != nil {
		w.t.Fatal(err)
	}
	from, err := pgx.Connect(w.t.Context(), strings.Replace(w.sink, "/"+conf.Database, "/"+backup, 1))
	if err != nil {
		w.t.Fatal(err)
	}
	defer from.Close(context.Background())
	to, err := pgx.Connect(w.t.Context(), w.sink)
	if err != nil {
		w.t.Fatal(err)
	}
	defer to.Close(context.Background())
	for _, table := range []string{"accounts", "pairs", "loads", "done"} {
		columns := ""
		if err := from.QueryRow(w.t.Context(), `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, "public."+table).Scan(&columns); err != nil {
			w.t.Fatal(err)
		}
		var data strings.Builder
		if _, err := from.PgConn().CopyTo(w.t.Context(), &data, fmt.Sprintf(`COPY public.%s (%s) TO STDOUT`, table, columns)); err != nil {
			w.t.Fatal(err)
		}
		if _, err := to.Exec(w.t.Context(), `TRUNCATE public.`+table); err != nil {
			w.t.Fatal(err)
		}
		if _, err := to.PgConn().CopyFrom(w.t.Context(), strings.NewReader(data.String()), fmt.Sprintf(`COPY public.%s (%s) FROM STDIN`, table, columns)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAProjectionIsRebuiltBesideTheOldOne: a second pipeline, under another name and with
// another column, catches up while the first one goes on; then the two change places.
func TestAProjectionIsRebuiltBesideTheOldOne(t *testing.T) {
	t.Parallel()
	w := newBackWorld(t)
	first := w.pipeline("first", "{schema}.{table}", `{tables: [public.accounts], project: {keep: [id, note]}}`)
	one := w.runs(first)
	one.awaitState("streaming")
	w.changes()
	stopping, worked := make(chan struct{}), make(chan error, 1)
	go func() { worked <- w.work.run(t.Context(), stopping) }()
	second := w.pipeline("second", "next.{table}", `{tables: [public.accounts], project: {keep: [id, note, big]}}`)
	for range 2 {
		w.struck(second)
	}
	w.runs(second).awaitState("streaming")
	close(stopping)
	if err := <-worked; err != nil {
		t.Fatal(err)
	}
	w.same("next")
	// Readers find the table at every moment, and what they find is right.
	w.in(`BEGIN; ALTER TABLE public.accounts RENAME TO accounts_old; CREATE VIEW public.accounts AS SELECT id, note, big FROM next.accounts; COMMIT`)
	if code := one.stop(); code != 0 {
		t.Errorf("the first pipeline left with %d", code)
	}
	w.changes()
	w.same("next")
}

// TestReplayThenLiveEqualsLive: for random histories and random places, a pipeline that is
// sent back, whatever is killed meanwhile, comes to what one would have that was not; rows
// never go back within a generation.
func TestReplayThenLiveEqualsLive(t *testing.T) {
	t.Parallel()
	w := newBackWorld(t)
	rounds := 2
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_REPLAY_ROUNDS")); err == nil {
		rounds = n
	}
	file := w.pipeline("good", "{schema}.{table}", "")
	w.runs(file).awaitState("streaming")
	w.changes()
	w.same("public")
	w.audited()
	for round := range rounds {
		w.changes()
		w.same("public")
		places := w.places()
		from := places[w.rng.IntN(len(places))]
		args := []string{"--from", from.LSN.String()}
		until := ""
		if w.rng.IntN(3) == 0 {
			if to := places[w.rng.IntN(len(places))]; to.LSN > from.LSN {
				args = append(args, "--to", to.LSN.String())
				until = (cdc.Position{Epoch: 1, LSN: to.LSN}).String()
			}
		}
		// What was written from there on is wrong; behind the end of a stretch it is right.
		where := fmt.Sprintf(`_tailrace_pos >= '%s'`, cdc.Position{Epoch: 1, LSN: from.LSN})
		if until != "" {
			where += fmt.Sprintf(` AND _tailrace_pos < '%s'`, until)
		}
		live := w.rng.IntN(2) == 0
		if !live {
			w.proc.stop()
		}
		missing := w.rng.IntN(4) == 0
		t.Logf("round %d: %v live=%t missing=%t", round, args, live, missing)
		if missing {
			args = append(args, "--only-missing")
			// What is gone comes with the versions that it had.
			w.in(`DELETE FROM accounts WHERE `+where, `DELETE FROM pairs WHERE `+where, `DELETE FROM audit`)
		} else {
			w.in(`UPDATE accounts SET note = 'wrong' WHERE `+where, `UPDATE pairs SET note = 'wrong', big = 'wrong' WHERE `+where)
		}
		if live {
			args = append(args, "--live", "--no-wait")
		}
		w.back(w.rng.IntN(2), file, args...)
		for range w.rng.IntN(3) {
			if live {
				pause(t, w.rng.IntN(300))
				w.proc.kill()
			} else {
				w.struck(file)
			}
			live = false
		}
		if !live {
			w.runs(file)
		}
		w.changes()
		w.same("public")
	}
	w.risen()
}

// places are the positions that the topics have.
func (w *backWorld) places() []cdc.Position {
	w.t.Helper()
	var all []cdc.Position
	for _, table := range []string{"accounts", "pairs", "loads"} {
		for _, r := range w.readAll(w.name + ".public." + table) {
			if r.pos.Ordinal > 0 {
				all = append(all, r.pos)
			}
		}
	}
	slices.SortFunc(all, cdc.Position.Compare)
	return all
}

// TestATopicWasDeleted before all of it was applied: the relay publishes it again from what
// its slot holds, and the pipeline takes the replay topic in its place. What it has already
// it leaves.
func TestATopicWasDeleted(t *testing.T) {
	t.Parallel()
	w := newBackWorld(t)
	file := w.pipeline("good", "{schema}.{table}", "")
	w.runs(file).awaitState("streaming")
	w.changes()
	w.same("public")
	before := w.now()
	w.changes()
	w.struck(file) // it has applied some of it
	w.changes()
	w.settled(w.marks + 1)
	w.marks++
	lost := w.name + ".public.accounts"
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if gone, err := kadm.NewClient(client).DeleteTopic(t.Context(), lost); err != nil || gone.Err != nil {
		t.Fatal(err, gone.Err)
	}
	w.replay(1+w.rng.IntN(2), "--from", before, "--table", "public.accounts", "--id", "lost")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(text), fmt.Sprintf(`topics_pattern: '^%s\.public\.(accounts|pairs|loads|done)$'`, w.name),
		fmt.Sprintf("topics: [%s.replay.lost, %s.public.pairs, %s.public.loads, %s.public.done]", lost, w.name, w.name, w.name), 1)
	if err := os.WriteFile(file, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	w.struck(file)
	w.runs(file)
	w.same("public")
}
