package pgoutput

func (d *Decoder) begin(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.Begin.FinalLSN = r.lsn("final LSN")
	d.Begin.CommitTime = r.time("commit time")
	d.Begin.XID = r.uint32("transaction id")
	return r.done()
}

func (d *Decoder) commit(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.Commit.Flags = r.byte("flags")
	d.Commit.CommitLSN = r.lsn("commit LSN")
	d.Commit.EndLSN = r.lsn("end LSN")
	d.Commit.CommitTime = r.time("commit time")
	return r.done()
}

// origin carries no transaction id, not even inside a stream block.
func (d *Decoder) origin(msg []byte) *Error {
	r := read(msg)
	d.Origin.CommitLSN = r.lsn("commit LSN")
	d.Origin.Name = keep(d.Origin.Name, r.cstring("name"))
	return r.done()
}

func (d *Decoder) truncate(msg []byte) *Error {
	const cascade, restart = 1, 2
	r := read(msg)
	d.Truncate.XID = r.xid(d.inStream)
	at := r.pos
	n := r.uint32("number of relations")
	options := r.flags("options", cascade|restart)
	d.Truncate.Cascade = options&cascade != 0
	d.Truncate.RestartIdentity = options&restart != 0
	if left := len(msg) - r.pos; int64(n)*4 > int64(left) {
		r.fail(at, "%d relations take %d bytes, %d are left", n, int64(n)*4, left)
		return r.done()
	}
	d.relations = d.relations[:0]
	for range n {
		d.relations = append(d.relations, r.uint32("relation"))
	}
	d.Truncate.Relations = d.relations
	return r.done()
}

func (d *Decoder) message(msg []byte) *Error {
	const transactional = 1
	r := read(msg)
	d.Message.XID = r.xid(d.inStream)
	d.Message.Transactional = r.flags("flags", transactional) != 0
	d.Message.LSN = r.lsn("LSN")
	d.Message.Prefix = keep(d.Message.Prefix, r.cstring("prefix"))
	n := r.length("content length")
	if r.err != nil {
		return r.err
	}
	d.Message.Content = msg[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return r.done()
}

// prepare reads the three messages of one form. Begin Prepare has no flags.
func (d *Decoder) prepare(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.Prepare.Flags = 0
	if Kind(msg[0]) != BeginPrepare {
		d.Prepare.Flags = r.byte("flags")
	}
	d.Prepare.PrepareLSN = r.lsn("prepare LSN")
	d.Prepare.EndLSN = r.lsn("end LSN")
	d.Prepare.Time = r.time("prepare time")
	d.Prepare.XID = r.uint32("transaction id")
	d.Prepare.GID = string(r.cstring("global id"))
	return r.done()
}

func (d *Decoder) commitPrepared(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.CommitPrepared.Flags = r.byte("flags")
	d.CommitPrepared.CommitLSN = r.lsn("commit LSN")
	d.CommitPrepared.EndLSN = r.lsn("end LSN")
	d.CommitPrepared.CommitTime = r.time("commit time")
	d.CommitPrepared.XID = r.uint32("transaction id")
	d.CommitPrepared.GID = string(r.cstring("global id"))
	return r.done()
}

func (d *Decoder) rollbackPrepared(msg []byte) *Error {
	r := read(msg)
	d.outside(&r)
	d.RollbackPrepared.Flags = r.byte("flags")
	d.RollbackPrepared.PrepareEndLSN = r.lsn("prepare end LSN")
	d.RollbackPrepared.RollbackEndLSN = r.lsn("rollback end LSN")
	d.RollbackPrepared.PrepareTime = r.time("prepare time")
	d.RollbackPrepared.RollbackTime = r.time("rollback time")
	d.RollbackPrepared.XID = r.uint32("transaction id")
	d.RollbackPrepared.GID = string(r.cstring("global id"))
	return r.done()
}
