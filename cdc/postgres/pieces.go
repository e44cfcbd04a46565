package postgres

import (
	"bufio"
	"encoding/binary"
	"io"
)

// piecesReader cuts CopyData messages that are longer than most into several: a
// row of COPY is one message, and the client would hold all of it. COPY gives the
// ends of messages no meaning (PostgreSQL documentation, section 54.2.7).
type piecesReader struct {
	r    *bufio.Reader
	most int
	head [5]byte
	have int // of head, not handed out yet
	body int // bytes of the piece that are still to come
	left int // bytes of the message behind the piece
}

func newPiecesReader(r io.Reader, most int) *piecesReader {
	return &piecesReader{r: bufio.NewReaderSize(r, 64<<10), most: most}
}

// Read returns at most what is left of the current piece.
func (p *piecesReader) Read(b []byte) (int, error) {
	if p.have == 0 && p.body == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	if p.have > 0 {
		n := copy(b, p.head[len(p.head)-p.have:])
		p.have -= n
		return n, nil
	}
	n, err := p.r.Read(b[:min(len(b), p.body)])
	p.body -= n
	return n, err
}

// next begins the next piece, or the next message.
func (p *piecesReader) next() error {
	if p.left == 0 {
		if _, err := io.ReadFull(p.r, p.head[:]); err != nil {
			return err
		}
		p.left = int(binary.BigEndian.Uint32(p.head[1:])) - 4
	}
	p.body = p.left
	if p.head[0] == 'd' {
		p.body = min(p.left, p.most)
	}
	p.left -= p.body
	binary.BigEndian.PutUint32(p.head[1:], uint32(p.body+4))
	p.have = len(p.head)
	return nil
}
