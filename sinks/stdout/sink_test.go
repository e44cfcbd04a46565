package stdout

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(t *testing.T) sinktest.Destination {
		w := &bytes.Buffer{}
		return sinktest.Destination{
			Changes: true, Forgets: true,
			Open: func(*testing.T) sinks.Sink { return New(w) },
			Rows: func(t *testing.T) map[int]sinktest.Row { return sinktest.Fold(t, w.String()) },
		}
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAReaderThatIsGoneIsSystemic(t *testing.T) {
	t.Parallel()
	s := New(broken{})
	c, err := s.Claim(t.Context(), sinks.Partition{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Write(t.Context(), &sinks.Batch{Claim: c, Expect: c.Next, Next: 1, Changes: []*sinks.Change{sinktest.Put(1, 1, sinktest.Row{})}})
	if !sinks.Systemic(err) {
		t.Errorf("got %v, want a *sinks.SystemicError", err)
	}
}
