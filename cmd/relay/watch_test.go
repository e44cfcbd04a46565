package main

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc/postgres"
)

// TestASilentServerIsTakenForOneThatShutsDown: what lies between may hide the
// server's answer that it shuts down. While Kafka is away as well, ten seconds of
// silence end the session, which the server may be waiting for; while Kafka is
// there, the session's own connection tells how things are.
func TestASilentServerIsTakenForOneThatShutsDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, c := range []struct {
		name   string
		silent time.Duration
		kafka  error
		want   error
	}{
		{"Kafka away, just silent", time.Second, errors.New("dial: refused"), nil},
		{"Kafka away, silent for long", unseenFor + time.Second, errors.New("dial: refused"), errUnseen},
		{"Kafka there, silent for long", unseenFor + time.Second, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got error
			w := &watch{
				postgres: postgres.Config{URL: "postgres://user@" + l.Addr().String() + "/db?sslmode=disable"},
				status:   newStatus(), closing: func(err error) { got = err },
			}
			w.status.depends("Kafka", c.kafka)
			w.unseen = time.Now().Add(-c.silent)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := w.server(ctx); err == nil {
				t.Fatal("a server that says nothing has answered")
			}
			if !errors.Is(got, c.want) {
				t.Errorf("the session is ended by %v, want %v", got, c.want)
			}
		})
	}
}
