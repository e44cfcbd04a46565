package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// adopted reads how far a Debezium had come from the value of one of its records:
// of a table, of a logical message, or of transaction metadata.
func (d *decoder) adopted(ctx context.Context, value []byte) (cdc.Adopted, error) {
	text, err := d.json(ctx, value)
	if err != nil {
		return cdc.Adopted{}, err
	}
	var v struct {
		Source *struct {
			TxID     *uint32 `json:"txId"`
			LSN      *uint64 `json:"lsn"`
			Sequence string  `json:"sequence"`
			Snapshot string  `json:"snapshot"`
		} `json:"source"`
		Status, ID string
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return cdc.Adopted{}, fmt.Errorf("not a record of Debezium's: %w", err)
	}
	switch {
	case v.Source == nil && v.Status != "":
		return adoptedMark(v.Status, v.ID)
	case v.Source == nil:
		return cdc.Adopted{}, errors.New("not a record of Debezium's: it has no source")
	}
	a := cdc.Adopted{Snapshot: v.Source.Snapshot}
	if v.Source.TxID != nil {
		a.XID = *v.Source.TxID
	}
	if v.Source.LSN != nil {
		a.LSN = cdc.LSN(*v.Source.LSN)
	}
	a.After, err = lastCommit(v.Source.Sequence)
	return a, err
}

// lastCommit is the first half of source.sequence.
func lastCommit(sequence string) (cdc.LSN, error) {
	if sequence == "" {
		return 0, nil
	}
	var halves []*string
	if err := json.Unmarshal([]byte(sequence), &halves); err != nil || len(halves) != 2 {
		return 0, fmt.Errorf("source.sequence is %q, want two LSNs", sequence)
	}
	if halves[0] == nil {
		return 0, nil
	}
	n, err := strconv.ParseUint(*halves[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("source.sequence is %q, want two LSNs", sequence)
	}
	return cdc.LSN(n), nil
}

// adoptedMark reads a BEGIN or END, whose id is <xid>:<lsn>.
func adoptedMark(status, id string) (cdc.Adopted, error) {
	xid, lsn, _ := strings.Cut(id, ":")
	x, err := strconv.ParseUint(xid, 10, 32)
	if err != nil {
		return cdc.Adopted{}, fmt.Errorf("id %q of transaction metadata: want <xid>:<lsn>", id)
	}
	n, err := strconv.ParseUint(lsn, 10, 64)
	if err != nil {
		return cdc.Adopted{}, fmt.Errorf("id %q of transaction metadata: want <xid>:<lsn>", id)
	}
	return cdc.Adopted{XID: uint32(x), LSN: cdc.LSN(n), Status: status}, nil
}
