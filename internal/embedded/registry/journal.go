package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// journal is the registry's file: one record per line, appended and synced before
// the change is visible. It is not safe for concurrent use.
type journal struct {
	file *os.File
	size int64 // of the whole lines
}

// openJournal applies the records of the file in dir to st. A last line without
// an end was cut off by a crash, before anybody was told of it, and is dropped.
func openJournal(dir string, st *state) (*journal, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the registry's file: %w", err)
	}
	path := filepath.Join(dir, "schemas.jsonl")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the registry's file: %w", err)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the registry's file: %w", err), f.Close())
	}
	whole := content[:bytes.LastIndexByte(content, '\n')+1]
	for i, line := range bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, errors.Join(fmt.Errorf("%s:%d: %w; remove the file to start with an empty registry", path, i+1, err), f.Close())
		}
		st.apply(r)
	}
	return &journal{file: f, size: int64(len(whole))}, nil
}

// append writes records. After an error the file is as before.
func (j *journal) append(records []record) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range records {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	_, err := j.file.WriteAt(b.Bytes(), j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(b.Len())
	return nil
}

// close cuts off what a crash or a failed append left after the last line.
func (j *journal) close() error {
	return errors.Join(j.file.Truncate(j.size), j.file.Close())
}
