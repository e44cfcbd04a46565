package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// relayStatus and processorStatus are what the demo shows of /status.
type relayStatus struct {
	State      string  `json:"state"`
	Reason     string  `json:"reason"`
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
	Rate       float64 `json:"rate"`
	Snapshot   *struct {
		Table string `json:"table"`
		Done  int64  `json:"done"`
		Total int64  `json:"total"`
	} `json:"snapshot"`
	LastError string `json:"last_error"`
}

type processorStatus struct {
	State      string `json:"state"`
	Partitions []struct {
		Lag        int64   `json:"lag"`
		LagSeconds float64 `json:"lag_seconds"`
		Parked     int64   `json:"parked"`
	} `json:"partitions"`
	LastError string `json:"last_error"`
}

// lag is the sum over the partitions.
func (p processorStatus) lag() (records int64, seconds float64) {
	for _, part := range p.Partitions {
		records += max(0, part.Lag)
		seconds = max(seconds, part.LagSeconds)
	}
	return records, seconds
}

func get(ctx context.Context, url string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}

// status reads /status of the program that listens on ops.
func status[T any](ctx context.Context, ops string) (v T, err error) {
	_, body, err := get(ctx, "http://"+ops+"/status")
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(body, &v)
}

// ready is nil when the program that listens on ops calls itself ready.
func ready(ctx context.Context, name, ops string) error {
	code, body, err := get(ctx, "http://"+ops+"/readyz")
	if err != nil {
		return fmt.Errorf("%s is not ready: %w", name, err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("%s is not ready: %d %s", name, code, strings.TrimSpace(string(body)))
	}
	return nil
}
