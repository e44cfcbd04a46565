package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestServicesAnswerOnceTheLineIsPrinted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runServices(ctx, options{}, w, io.Discard) }()
	var line struct{ Postgres, Kafka, Registry string }
	if err := json.NewDecoder(r).Decode(&line); err != nil {
		t.Fatal(err)
	}
	for _, db := range []string{"/shop", "/warehouse"} {
		conn, err := pgx.Connect(ctx, strings.Replace(line.Postgres, "/shop", db, 1))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close(ctx)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(line.Kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	resp, err := http.Get(line.Registry + "/subjects")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestScheduleIsTheSeeds(t *testing.T) {
	t.Parallel()
	a, b, c := schedule(7, 3), schedule(7, 3), schedule(8, 3)
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Error("a schedule depends on something else than its seed")
	}
	relay := 0
	for i, k := range a {
		if k.relay {
			relay++
		}
		if i > 0 && k.at < a[i-1].at {
			t.Errorf("kill %d comes before kill %d", i, i-1)
		}
	}
	if len(a) != 6 || relay != 3 {
		t.Errorf("got %d kills, %d of the relay; want 6, 3", len(a), relay)
	}
}

func TestFlagErrorsExitWithTwo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--nope"}, {"extra"}, {"--check", "--services"}, {"--check", "--rows", "-1"}, {"--kills", "x"}} {
		var stderr bytes.Buffer
		if got := run(args, io.Discard, &stderr); got != 2 {
			t.Errorf("%q: exit %d, want 2: %s", args, got, &stderr)
		}
	}
}

func TestCheckWithoutBinariesFailsInItsLastLine(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if got := run([]string{"--check", "--seed", "5", "--bin", t.TempDir()}, &stdout, &stderr); got != 1 {
		t.Errorf("exit %d, want 1", got)
	}
	if want := "seed=5\nFAILED seed=5 differences=unknown\n"; stdout.String() != want {
		t.Errorf("got %q, want %q", stdout.String(), want)
	}
	if !strings.Contains(stderr.String(), "make build") {
		t.Errorf("stderr does not say what to do: %s", &stderr)
	}
}

func TestProgramReportsOnlyEndsThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(name, text string) *program {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return newProgram(dir, name, "c.yaml", filepath.Join(dir, name+".log"))
	}
	stays := script("stays", `trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
	for range 2 {
		if err := stays.start(); err != nil {
			t.Fatal(err)
		}
		stays.kill()
	}
	if err := stays.start(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) { // until the shell has set its trap
		log, err := os.ReadFile(stays.log)
		if err == nil && strings.HasSuffix(string(log), "ready\n") {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("the program does not say that it is ready: %q, %v", log, err)
		}
	}
	if err := stays.stop(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-stays.ended:
		t.Errorf("killed and stopped, it reports %v", err)
	default:
	}
	log, err := os.ReadFile(stays.log)
	if err != nil || strings.Count(string(log), "run --config c.yaml") != 3 {
		t.Errorf("log: %q, %v; want three starts", log, err)
	}

	ends := script("ends", "exit 3")
	if err := ends.start(); err != nil {
		t.Fatal(err)
	}
	if err := <-ends.ended; !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want exit status 3", err)
	}
}

func TestViewShowsLagAndRows(t *testing.T) {
	t.Parallel()
	l := look{changes: 1234, rate: 55.4, source: map[string]int64{"orders": 10, "events": 5}, sink: map[string]int64{"orders": 9}}
	if err := json.Unmarshal([]byte(`{"state":"streaming","lag_bytes":20480,"lag_seconds":0.25}`), &l.relay); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"state":"running","partitions":[{"lag":2,"lag_seconds":1.5},{"lag":3,"lag_seconds":0.5}]}`), &l.proc); err != nil {
		t.Fatal(err)
	}
	want := "  changes 1234 (55/s)  rows source 15 sink 9  relay streaming, lag 20 KiB, 0.2 s  processor running, lag 5 records, 1.5 s"
	if got := l.line(); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at the end", got, want)
	}
	var out bytes.Buffer
	v := view{out: &out}
	v.draw(l)
	first := strings.Count(out.String(), "\n")
	v.draw(l)
	if second := strings.Count(out.String(), "\n"); v.drawn != first || second != 2*first {
		t.Errorf("drawn %d lines, then %d in all; want the same block twice", first, second)
	}
}
