package oracle

import "strings"

func (s *session) copyFrom(sql, rows string) {
	s.t.Helper()
	if _, err := s.conn.PgConn().CopyFrom(s.t.Context(), strings.NewReader(rows), sql); err != nil {
		s.t.Fatalf("%s\n%s\n%s", sql, rows, explain(err))
	}
}
