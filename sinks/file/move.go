package file

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/sinks"
)

var _ sinks.Mover = (*Sink)(nil)

// Standing reads the notes of all partitions in the folder.
func (s *Sink) Standing(context.Context) ([]sinks.Claim, error) {
	files, err := filepath.Glob(filepath.Join(globbed(s.config.Dir), ".tailrace", globbed(s.config.Pipeline+"-")+"*.json"))
	if err != nil {
		return nil, err
	}
	var claims []sinks.Claim
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, systemic(err)
		}
		n := &note{}
		if err := json.Unmarshal(b, n); err != nil {
			return nil, systemic(fmt.Errorf("%s: %w", path, err))
		}
		p, ok := s.partitionOf(path)
		if !ok || n.Next < 0 {
			continue
		}
		p.ID = n.TopicID
		claims = append(claims, sinks.Claim{Partition: p, Epoch: n.Epoch, Next: n.Next, Parked: n.parks(), Backlog: len(n.Letters) > 0, Local: true, Generation: n.Generation, Note: n.Note})
	}
	return claims, nil
}

// partitionOf is the inverse of path.
func (s *Sink) partitionOf(path string) (p sinks.Partition, ok bool) {
	name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), s.config.Pipeline+"-"), ".json")
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return p, false
	}
	number, err := strconv.ParseInt(name[i+1:], 10, 32)
	p = sinks.Partition{Topic: name[:i], Number: int32(number)}
	return p, err == nil && s.path(p, "json") == filepath.Join(s.config.Dir, ".tailrace", filepath.Base(path))
}

// Move replaces the notes one after the other, once it has seen that all are as they are
// expected. Killed between two, it has carried out some of the moves: each partition is
// right by itself, and the command is repeated.
func (s *Sink) Move(_ context.Context, moves []sinks.Move) error {
	for _, write := range []bool{false, true} {
		for i := range moves {
			m := &moves[i]
			err := s.locked(m.Claim.Partition, func(n *note) error {
				if n.Epoch != m.Claim.Epoch || n.Next != m.Claim.Next {
					return fmt.Errorf("%s/%d: %w", m.Claim.Topic, m.Claim.Number, sinks.ErrFenced)
				}
				if !write {
					return nil
				}
				if err := s.trim(m.Claim.Partition, n); err != nil { // what a crash has left in this generation's files
					return err
				}
				n.Epoch++
				n.Next, n.Generation, n.Note = m.Next, m.Generation, m.Note
				for _, key := range m.Unpark {
					text := hex.EncodeToString(key[:])
					n.Parked = slices.DeleteFunc(n.Parked, func(x marker) bool { return x.Key == text })
				}
				return s.keep(m.Claim.Partition, n)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
