package postgres

import (
	"bytes"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
)

// copyReader takes the lines of COPY in its text format (PostgreSQL
// documentation, COPY, "Text Format") and hands rows on. A line that is longer than
// most is not held: its values are handed on in pieces.
type copyReader struct {
	row    func([]cdc.Value) error
	begin  func() (cdc.LongRow, error)
	most   int
	values []cdc.Value
	rest   []byte    // the beginning of a line whose end has not come
	long   *longLine // or of one that is not held
	err    error
}

// Write takes what the server sent: as a rule one line, ended by a newline.
func (c *copyReader) Write(p []byte) (int, error) {
	n := len(p)
	c.err = nil
	for len(p) > 0 && c.err == nil {
		end := bytes.IndexByte(p, '\n')
		line := p
		if end >= 0 {
			line = p[:end]
		}
		p = p[len(line):]
		if end >= 0 {
			p = p[1:]
		}
		c.err = c.part(line, end >= 0)
	}
	if c.err != nil {
		return 0, c.err
	}
	return n, nil
}

// part takes the next bytes of a line, its last ones if it ends with them.
func (c *copyReader) part(b []byte, last bool) error {
	switch {
	case c.long != nil:
	case len(c.rest)+len(b) > c.most:
		to, err := c.begin()
		if err != nil {
			return err
		}
		c.long = &longLine{to: to, columns: len(c.values)}
		if err := c.long.start(); err != nil {
			return err
		}
		if err := c.long.write(c.rest); err != nil {
			return err
		}
		c.rest = nil
	case last && len(c.rest) == 0:
		return c.line(b)
	default:
		c.rest = append(c.rest, b...)
		if !last {
			return nil
		}
		line := c.rest
		if c.rest = c.rest[:0]; cap(c.rest) > readBuffer {
			c.rest = nil
		}
		return c.line(line)
	}
	if err := c.long.write(b); err != nil || !last {
		return err
	}
	long := c.long
	c.long = nil
	return long.end()
}

// line splits one line at its tabs. Values are unescaped in place.
func (c *copyReader) line(b []byte) error {
	n := 0
	if len(c.values) > 0 {
		for {
			end := bytes.IndexByte(b, '\t')
			field := b
			if end >= 0 {
				field = b[:end]
			}
			if n == len(c.values) {
				return fmt.Errorf("COPY: a row has more than %d columns", len(c.values))
			}
			if len(field) == 2 && field[0] == '\\' && field[1] == 'N' {
				c.values[n] = cdc.Value{}
			} else {
				c.values[n] = cdc.Value{Data: unescape(field), State: cdc.Text}
			}
			n++
			if end < 0 {
				break
			}
			b = b[end+1:]
		}
	}
	if n != len(c.values) {
		return fmt.Errorf("COPY: a row has %d columns, want %d", n, len(c.values))
	}
	return c.row(c.values)
}

// unescape resolves COPY's backslash sequences in place.
func unescape(b []byte) []byte {
	at := bytes.IndexByte(b, '\\')
	if at < 0 {
		return b
	}
	out := b[:at]
	for i := at; i < len(b); i++ {
		ch := b[i]
		if ch == '\\' && i+1 < len(b) {
			i++
			ch = unescaped(b[i])
		}
		out = append(out, ch)
	}
	return out
}

// unescaped is what stands for a letter behind a backslash. The server writes \b,
// \f, \n, \r, \t, \v and \\ only.
func unescaped(ch byte) byte {
	switch ch {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	}
	return ch
}

// longLine hands the values of one line on. A backslash, and what follows it, can
// come in different pieces.
type longLine struct {
	to      cdc.LongRow
	columns int
	column  int  // that is being read
	began   bool // its first byte has come
	slash   bool // the last byte was a backslash that escapes the next one
	buf     []byte
}

func (l *longLine) start() error { return l.to.Row(false, true) }

func (l *longLine) write(p []byte) error {
	for len(p) > 0 {
		if !l.slash && p[0] != '\t' && p[0] != '\\' {
			if err := l.value(cdc.Text); err != nil {
				return err
			}
			n := bytes.IndexAny(p, "\t\\")
			if n < 0 {
				n = len(p)
			}
			if err := l.to.Data(p[:n]); err != nil {
				return err
			}
			p = p[n:]
			continue
		}
		if err := l.special(p[0]); err != nil {
			return err
		}
		p = p[1:]
	}
	return nil
}

// special takes a tab, a backslash, or what follows one.
func (l *longLine) special(ch byte) error {
	switch {
	case l.slash:
		l.slash = false
		if ch == 'N' && !l.began {
			return l.value(cdc.Null)
		}
		if err := l.value(cdc.Text); err != nil {
			return err
		}
		l.buf = append(l.buf[:0], unescaped(ch))
		return l.to.Data(l.buf)
	case ch == '\\':
		l.slash = true
		return nil
	}
	if err := l.value(cdc.Text); err != nil { // an empty one, if nothing came
		return err
	}
	l.column, l.began = l.column+1, false
	return nil
}

// value begins the column's value, unless it has begun.
func (l *longLine) value(state cdc.State) error {
	if l.began {
		return nil
	}
	l.began = true
	if l.column >= l.columns {
		return fmt.Errorf("COPY: a row has more than %d columns", l.columns)
	}
	return l.to.Value(l.column, state)
}

func (l *longLine) end() error {
	if err := l.value(cdc.Text); err != nil {
		return err
	}
	if l.column+1 != l.columns {
		return fmt.Errorf("COPY: a row has %d columns, want %d", l.column+1, l.columns)
	}
	return l.to.End()
}
