package workload

// transaction is a transaction in the making: its statements, and how to undo
// what composing them did to the worker's picture of its rows.
type transaction struct {
	statements []statement
	undo       []func()
	inserts    int // of new rows, less those undone
	twoPhase   bool
}

type statement struct {
	sql  string
	kept bool // not rolled back to a savepoint
}

func (t *transaction) begin() { *t = transaction{} }

func (t *transaction) add(sql string) { t.statements = append(t.statements, statement{sql, true}) }

// undoTo takes back what was done since there were n undo steps.
func (t *transaction) undoTo(n int) {
	for i := len(t.undo) - 1; i >= n; i-- {
		t.undo[i]()
	}
	t.undo = t.undo[:n]
}

// compose makes a transaction, mostly of a few changes, and tells whether it is to
// be committed.
func (w *worker) compose() (commit bool) {
	w.tx.begin()
	w.tx.twoPhase = w.chance(0.02)
	changes := 1 + w.IntN(6)
	if w.chance(0.01) {
		changes = 20 + w.IntN(80)
	}
	for range changes {
		if w.chance(0.12) {
			w.savepoint()
			continue
		}
		w.change()
	}
	return !w.chance(0.08)
}

// savepoint makes changes in a savepoint, and takes half of them back.
func (w *worker) savepoint() {
	w.tx.add("SAVEPOINT s")
	statements, undo := len(w.tx.statements), len(w.tx.undo)
	for range 1 + w.IntN(3) {
		w.change()
	}
	if w.IntN(2) == 0 {
		w.tx.add("RELEASE s")
		return
	}
	for i := statements; i < len(w.tx.statements); i++ {
		w.tx.statements[i].kept = false
	}
	w.tx.undoTo(undo)
	w.tx.add("ROLLBACK TO s")
}

// rows is a worker's picture of its rows in one table. Every change of it puts
// its undoing into the transaction.
type rows struct {
	live [][]string // keys
	dead [][]string // keys of deleted rows, some of which come back
}

func (r *rows) insert(tx *transaction, key []string) {
	r.live = append(r.live, key)
	tx.undo = append(tx.undo, func() { r.live = r.live[:len(r.live)-1] })
}

func (r *rows) delete(tx *transaction, i int) {
	last := len(r.live) - 1
	key, moved := r.live[i], r.live[last]
	r.live[i] = moved
	r.live = r.live[:last]
	r.dead = append(r.dead, key)
	tx.undo = append(tx.undo, func() {
		r.dead = r.dead[:len(r.dead)-1]
		r.live = append(r.live, moved)
		r.live[i] = key
	})
}

func (r *rows) revive(tx *transaction, i int) []string {
	last := len(r.dead) - 1
	key, moved := r.dead[i], r.dead[last]
	r.dead[i] = moved
	r.dead = r.dead[:last]
	r.live = append(r.live, key)
	tx.undo = append(tx.undo, func() {
		r.live = r.live[:len(r.live)-1]
		r.dead = append(r.dead, moved)
		r.dead[i] = key
	})
	return key
}

func (r *rows) rename(tx *transaction, i int, key []string) {
	old := r.live[i]
	r.live[i] = key
	tx.undo = append(tx.undo, func() { r.live[i] = old })
}
