package cdc

import "testing"

func start(confirmed LSN) Progress {
	return Progress{Version: 1, Confirmed: confirmed, Epochs: []Epoch{{Epoch: 1}}}
}

func TestKeepaliveNeverConfirmsAnOpenTransaction(t *testing.T) {
	t.Parallel()
	tr := NewTracker(start(500))
	tr.Begin(&Transaction{XID: 7, CommitLSN: 600})
	tr.Change('c', 1, 550)
	tr.Keepalive(650)
	if got := tr.Next().Confirmed; got != 500 {
		t.Errorf("confirmed %d inside of a transaction, want 500", got)
	}
	tr.Commit(620)
	if got := tr.Next().Confirmed; got != 620 {
		t.Errorf("confirmed %d after COMMIT, want its end 620", got)
	}
	tr.Keepalive(650)
	p := tr.Next()
	if got := tr.Durable(p); got != 650 || tr.Ahead() != 0 {
		t.Errorf("confirmed %d (ahead %d), want 650", got, tr.Ahead())
	}
}

func TestConfirmedIsTheEndOfACommitNeverARow(t *testing.T) {
	t.Parallel()
	tr := NewTracker(start(100))
	tx := &Transaction{XID: 9, CommitLSN: 400, CommitTime: 5}
	tr.Begin(tx)
	for i := range 3 {
		tr.Change('c', 1, LSN(200+i))
		p := tr.Next()
		if p.Confirmed != 100 {
			t.Fatalf("confirmed %d inside of the transaction", p.Confirmed)
		}
		if p.Partial == nil || p.Partial.Ordinal != uint32(i+1) || p.Partial.XID != 9 {
			t.Fatalf("partial %+v after %d changes", p.Partial, i+1)
		}
	}
	tr.Commit(420)
	p := tr.Next()
	if p.Confirmed != 420 || p.Partial != nil || *p.Last != (LastCommit{CommitLSN: 400, EndLSN: 420, XID: 9, CommitTime: 5}) {
		t.Errorf("got %+v %+v", p, p.Last)
	}
}

// cut is the progress of a relay that was killed after n of three changes of
// transaction 9 were durable.
func cut(n int) Progress {
	tr := NewTracker(start(100))
	tr.Begin(&Transaction{XID: 8, CommitLSN: 200, CommitTime: 4})
	tr.Change('c', 1, 150)
	tr.Commit(210)
	tr.Begin(&Transaction{XID: 9, CommitLSN: 400, CommitTime: 5})
	for i := range n {
		tr.Change('u', 1, LSN(300+i))
	}
	return tr.Next()
}

func TestRestartSkipsExactlyWhatWasPublished(t *testing.T) {
	t.Parallel()
	for n := 0; n <= 3; n++ {
		p := cut(n)
		s, tr := newSkip(p, 100), NewTracker(p)
		if err := s.begin(&Transaction{XID: 8, CommitLSN: 200, CommitTime: 4}); err != nil || !s.whole {
			t.Fatalf("n=%d: the published transaction: whole=%v, %v", n, s.whole, err)
		}
		if whole, err := s.commit(&Transaction{XID: 8, CommitLSN: 200}); err != nil || !whole {
			t.Fatalf("n=%d: its end: %v, %v", n, whole, err)
		}
		tx := &Transaction{XID: 9, CommitLSN: 400, CommitTime: 5}
		if err := s.begin(tx); err != nil {
			t.Fatal(err)
		}
		tr.Begin(tx)
		published := 0
		for i := range 3 {
			if s.part {
				if err := s.change(tr.Change('u', 1, LSN(300+i)), tr.hash); err != nil {
					t.Fatal(err)
				}
				if got := tr.Next().Partial.Ordinal; got != uint32(n) {
					t.Errorf("n=%d: while skipping, progress says %d", n, got)
				}
				continue
			}
			tr.Change('u', 1, LSN(300+i))
			published++
		}
		if published != 3-n {
			t.Errorf("n=%d: %d changes were published after the restart, want %d", n, published, 3-n)
		}
		if whole, err := s.commit(tx); whole || err != nil {
			t.Errorf("n=%d: %v, %v", n, whole, err)
		}
	}
}

func TestRestartStopsAtAnotherHistory(t *testing.T) {
	t.Parallel()
	stopped := func(name string, err error) {
		t.Helper()
		if !Stopped(err) {
			t.Errorf("%s: got %v, want a StopError", name, err)
		}
	}
	s := newSkip(cut(0), 100)
	stopped("the last published transaction is missing", s.begin(&Transaction{XID: 20, CommitLSN: 300}))
	s = newSkip(cut(0), 100)
	stopped("a keepalive passes it", s.passed(211))
	s = newSkip(cut(0), 100)
	stopped("another transaction stands in its place", s.begin(&Transaction{XID: 21, CommitLSN: 200, CommitTime: 4}))
	s = newSkip(cut(0), 205) // the slot was confirmed beyond it
	if err := s.begin(&Transaction{XID: 20, CommitLSN: 300}); err != nil {
		t.Errorf("a transaction that the server need not send again: %v", err)
	}

	p := cut(2)
	s = newSkip(p, 205)
	if err := s.passed(400); err != nil {
		t.Errorf("what ends where the commit record starts: %v", err)
	}
	stopped("a keepalive passes the transaction that was published in part", s.passed(401))
	s = newSkip(p, 205)
	tr := NewTracker(p)
	tx := &Transaction{XID: 9, CommitLSN: 400, CommitTime: 5}
	if err := s.begin(tx); err != nil {
		t.Fatal(err)
	}
	tr.Begin(tx)
	if err := s.change(tr.Change('u', 1, 300), tr.hash); err != nil {
		t.Fatal(err)
	}
	stopped("the prefix differs", s.change(tr.Change('d', 1, 301), tr.hash))
	s = newSkip(p, 205)
	if err := s.begin(tx); err != nil {
		t.Fatal(err)
	}
	_, err := s.commit(tx)
	stopped("the transaction is shorter than what was published of it", err)
}
