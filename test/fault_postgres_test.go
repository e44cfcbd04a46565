package test

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
)

// The kinds of PostgreSQL messages that a trap can wait for.
const (
	pgSlot    = "CREATE_REPLICATION_SLOT"
	pgMade    = "the answer to CREATE_REPLICATION_SLOT"
	pgStream  = "START_REPLICATION"
	pgRow     = "a change of the stream"
	pgStatus  = "a status update that confirms more"
	pgCopied  = "a row of a snapshot"
	pgGoodbye = "the end of a snapshot's session"
	pgClaim   = "the claim of a partition in the sink"
	pgWrite   = "a batch for the sink"
	pgCommit  = "COMMIT"
	pgDone    = "the answer to COMMIT"
)

// newPostgresTap is a tap before a server, for connections without TLS.
func newPostgresTap(t *testing.T, p *trap, target func() string) *tap {
	return newTap(t, p, target, func(l *link) (up, down func() error) {
		s := &session{link: l}
		return s.up, s.down
	})
}

// session is what the tap knows of one connection. All but making belongs to up.
type session struct {
	*link
	begun   bool
	copying bool // this session reads a snapshot
	making  atomic.Bool
	flushed uint64
}

func (s *session) up() error {
	if !s.begun {
		b, err := sized(s.client, 0, true)
		if err != nil {
			return err
		}
		s.begun = true
		_, err = s.server.Write(b)
		return err
	}
	b, err := sized(s.client, 1, true)
	if err != nil {
		return err
	}
	kind := ""
	switch {
	case b[0] == 'Q' && bytes.Contains(b, []byte("CREATE_REPLICATION_SLOT")):
		kind = pgSlot
	case b[0] == 'Q' && bytes.Contains(b, []byte("START_REPLICATION")):
		kind = pgStream
	case (b[0] == 'Q' || b[0] == 'P') && bytes.Contains(b, []byte("COPY (")), b[0] == 'Q' && bytes.Contains(b, []byte("TO STDOUT")):
		s.copying = true
	case b[0] == 'P' && bytes.Contains(b, []byte("epoch = o.epoch + 1")):
		kind = pgClaim
	case b[0] == 'P' && bytes.Contains(b, []byte("next_offset = $6")):
		kind = pgWrite
	case b[0] == 'Q' && bytes.Equal(b[5:], []byte("COMMIT\x00")):
		kind = pgCommit
	case b[0] == 'X' && s.copying:
		kind = pgGoodbye
	case b[0] == 'd' && len(b) > 22 && b[5] == 'r':
		if flushed := binary.BigEndian.Uint64(b[14:]); flushed > s.flushed {
			if s.flushed > 0 {
				kind = pgStatus
			}
			s.flushed = flushed
		}
	}
	if kind != "" {
		s.tap.trap.pass(kind, false)
	}
	if kind == pgSlot {
		s.making.Store(true)
	}
	if _, err = s.server.Write(b); err == nil && kind != "" {
		s.tap.trap.pass(kind, true)
	}
	return err
}

func (s *session) down() error {
	b, err := sized(s.server, 1, true)
	if err != nil {
		return err
	}
	kind := ""
	switch {
	case b[0] == 'C' && bytes.Equal(b[5:], []byte("COMMIT\x00")):
		kind = pgDone
	case b[0] == 'D' && s.making.CompareAndSwap(true, false):
		kind = pgMade
	case b[0] == 'd' && len(b) > 30 && b[5] == 'w' && bytes.IndexByte([]byte("IUDT"), b[30]) >= 0:
		kind = pgRow
		if other := s.tap.instead.Load(); other != nil {
			b = *other
		}
	case b[0] == 'd' && (len(b) < 6 || b[5] != 'w' && b[5] != 'k'):
		kind = pgCopied
	}
	if kind != "" {
		s.tap.trap.pass(kind, false)
	}
	if _, err = s.client.Write(b); err == nil && kind != "" {
		s.tap.trap.pass(kind, true)
	}
	return err
}
