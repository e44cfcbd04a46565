package cdc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// This file notices that somebody else has changed the publication.
//
// A table that is taken out of it and added again, by hand or by a start of ours,
// has a hole: what changed meanwhile is in no stream, and nothing in the stream
// tells. An entry of the publication's list gets another OID each time, so the entry
// that a table had when it was read is compared with the one that it has. As long as
// one of them is the same, the table was covered all the time.
//
// The hole cannot be mended by reading that table again at the place where the
// stream stands: changes from before the hole may still come, and would put older
// values over the newer ones of the hole. So it is a gap like any other.

// reentered is the gap of tables that were out of the publication; nil: there is
// none.
func (s *launch) reentered(ctx context.Context, p *Progress) (*StopError, error) {
	now, err := s.Database.Members(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, c := range s.rem.Done {
		m, there := now[name]
		if !there || m.OID != c.OID || len(c.Member) == 0 || !c.read(c.OID, p.SnapshotEpoch) {
			continue // not to be published any more, made anew, or covered in another way
		}
		if !slices.ContainsFunc(c.Member, func(entry uint32) bool { return slices.Contains(m.Entries, entry) }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	return &StopError{What: fmt.Sprintf("publication %q was changed by somebody else: tables were taken out of it, and what changed in them meanwhile is gone: %s", s.Publication, strings.Join(names, ", ")),
		Pos: p.Confirmed.String(), Next: troubleNext[Gap], Trouble: Gap}, nil
}

// members takes note of the entries that cover each table, in the cursors of those
// that were read and for those that will be.
func (s *launch) members(ctx context.Context) error {
	now, err := s.Database.Members(ctx)
	if err != nil {
		return err
	}
	r := s.relay
	r.members = make(map[string][]uint32, len(now))
	for name, m := range now {
		r.members[name] = m.Entries
		c, read := s.rem.Done[name]
		if !read || c.OID != m.OID || slices.Equal(c.Member, m.Entries) {
			continue
		}
		c.Member = m.Entries
		v, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("cursor of %s: %w", name, err)
		}
		if err := r.Log.Note(ctx, Note{Key: snapshotPrefix + name, Value: v}); err != nil {
			return err
		}
		s.rem.Done[name], r.open.noted = c, true
	}
	return nil
}
