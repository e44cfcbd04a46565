package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"
)

// TestAPortThatIsTakenForAMomentIsWaitedFor: the usual ports lie where outgoing
// connections get theirs.
func TestAPortThatIsTakenForAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	var out bytes.Buffer
	if err := awaitPort(t.Context(), port, 150*time.Millisecond, &out); err == nil || !strings.Contains(err.Error(), "another port") {
		t.Errorf("a port that stays taken: %v", err)
	}
	if n := strings.Count(out.String(), "waiting for it"); n != 1 {
		t.Errorf("said %d times: %s", n, out.String())
	}
	freed := make(chan error, 1)
	time.AfterFunc(150*time.Millisecond, func() { freed <- l.Close() })
	if err := awaitPort(t.Context(), port, 10*time.Second, &out); err != nil {
		t.Errorf("a port that becomes free: %v", err)
	}
	if err := <-freed; err != nil {
		t.Error(err)
	}
	if err := awaitPort(t.Context(), 0, 0, &out); err != nil {
		t.Errorf("any port: %v", err)
	}
}
