package pgoutput

// InStream tells whether the last message left the stream inside a block of a
// streamed transaction.
func (d *Decoder) InStream() bool { return d.inStream }

// outside refuses a message that cannot stand inside a stream block. Its rows
// would otherwise be read with the wrong layout.
func (d *Decoder) outside(r *reader) {
	if d.inStream {
		r.fail(0, "inside a stream block")
	}
}

func (d *Decoder) streamStart(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.StreamStart.XID = r.uint32("transaction id")
	d.StreamStart.First = r.flags("first segment", 1) != 0
	err := r.done()
	if err == nil {
		d.inStream = true
	}
	return err
}

func (d *Decoder) streamStop(msg []byte) *Error {
	r := read(msg)
	if !d.inStream {
		r.fail(0, "outside of a stream block")
	}
	err := r.done()
	if err == nil {
		d.inStream = false
	}
	return err
}

func (d *Decoder) streamCommit(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.StreamCommit.XID = r.uint32("transaction id")
	d.StreamCommit.Flags = r.byte("flags")
	d.StreamCommit.CommitLSN = r.lsn("commit LSN")
	d.StreamCommit.EndLSN = r.lsn("end LSN")
	d.StreamCommit.CommitTime = r.time("commit time")
	return r.done()
}

// streamAbort has two forms: since protocol 4, LSN and time follow when the
// stream is parallel. Nothing but the length tells which it is.
func (d *Decoder) streamAbort(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.StreamAbort.XID = r.uint32("transaction id")
	d.StreamAbort.SubXID = r.uint32("subtransaction id")
	d.StreamAbort.LSN, d.StreamAbort.Time = 0, 0
	d.StreamAbort.Parallel = r.err == nil && r.pos < len(msg)
	if d.StreamAbort.Parallel {
		d.StreamAbort.LSN = r.lsn("abort LSN")
		d.StreamAbort.Time = r.time("abort time")
	}
	return r.done()
}
