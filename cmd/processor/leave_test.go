package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// A static member that stops keeps its partitions, for a restart; when it does not come
// back, the command lets the others have them at once.
func TestLeaveGivesTheirPartitionsAway(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]string{"postgres": "", "kafka": "{kafka: {sessions: 2}}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			text := s.configuration("")
			if sink != "" {
				text = s.into(sink)
			}
			text = strings.Replace(text, "session_timeout: 5s", "session_timeout: 4m, instance_id: ID", 1)
			member := func(id string) string {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s.listen = l.Addr().String()
				_ = l.Close()
				own := text[:strings.Index(text, "ops:")] + fmt.Sprintf("ops: {listen: %q}\n", s.listen)
				return s.write(id+".yaml", strings.Replace(own, "instance_id: ID", "instance_id: "+id, 1))
			}
			one := member("one")
			s.publish(1, "1", "1.00")
			cmd, _, errs := command(t.Context(), "run", "-c", one, "--log-level", "error")
			cmd.Env = append(cmd.Env, "SINK="+s.database)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			owned := func() int {
				_, body := s.get("/status")
				return strings.Count(body, `"state":"running"`)
			}
			const all = 6 // two sessions get them one after the other
			until(t, "all partitions", func() bool { return owned() == all })
			two := member("two")
			s.start(two)
			until(t, "some of the partitions", func() bool { return owned() > 0 })
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, errs)
			}
			if n := owned(); n >= all {
				t.Fatalf("the second member has %d of %d partitions, and the first may come back", n, all)
			}
			code, out, message := runToEndWith(t, "SINK="+s.database, "leave", "one", "-c", two)
			if code != 0 || !strings.Contains(out, "left the group") {
				t.Fatalf("leave: exit %d\n%s%s", code, out, message)
			}
			until(t, "all partitions with the second", func() bool { return owned() == all })
			if _, out, _ := runToEndWith(t, "SINK="+s.database, "leave", "one", "-c", two); !strings.Contains(out, "no such member") {
				t.Errorf("leave again: %s", out)
			}
		})
	}
}
