package main

import (
	"strings"
	"testing"
)

// TestAMemberThatTheGroupDoesNotTakeSaysSo, in either protocol: else nobody would know
// why nothing is applied.
func TestAMemberThatTheGroupDoesNotTakeSaysSo(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]string{"postgres": "", "kafka": "{kafka: {sessions: 1}}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			text := s.configuration("")
			if sink != "" {
				text = s.into(sink)
			}
			s.publish(1, "1", "1.00")
			file := s.write("long.yaml", strings.Replace(text, "session_timeout: 5s", "session_timeout: 25m", 1))
			cmd, _, errs := command(t.Context(), "run", "-c", file)
			cmd.Env = append(cmd.Env, "SINK="+s.database)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // it was killed
				if t.Failed() {
					t.Log(errs.String())
				}
			}()
			until(t, "the reason", func() bool {
				code, body := s.get("/readyz")
				return code == 503 && strings.Contains(body, "disconnected") && strings.Contains(body, "set group.session_timeout to what the brokers allow")
			})
		})
	}
}
