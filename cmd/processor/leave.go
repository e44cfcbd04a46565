package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

func newLeaveCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "leave [INSTANCE…]",
		Short: "Takes static members out of the group: after scaling in",
		Long: `A member with group.instance_id keeps its partitions while it restarts, until group.session_timeout has passed. One that
does not come back leaves the group by this command, and others get its partitions at once. INSTANCE is a
group.instance_id; without one, that of the configuration. Stop the member before: one that runs joins anew.`,
		Example: "  processor leave warehouse-3",
		RunE: func(cmd *cobra.Command, args []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if s.Group.InstanceID == "" {
					return ops.Usage(errors.New("want an INSTANCE: the configuration has no group.instance_id, so its members leave by themselves when they stop"))
				}
				args = []string{s.Group.InstanceID}
			}
			connection, err := s.kafkaConfig()
			if err != nil {
				return err
			}
			left, err := kafka.LeaveGroup(cmd.Context(), connection, s.Name, s.instances(args))
			if err != nil {
				return err
			}
			if out.JSON {
				return out.Object(map[string]int{"left": left})
			}
			if left == 0 {
				return out.Text("the group has no such member\n")
			}
			return out.Text("%d members left the group\n", left)
		},
	}
}

// instances are the members that processes with these ids have in the group.
func (s *settings) instances(ids []string) []string {
	if s.Sink.Kafka == nil {
		return ids
	}
	var all []string
	for _, id := range ids {
		for n := range s.Sink.Kafka.Sessions {
			all = append(all, id+"."+strconv.Itoa(n))
		}
	}
	return all
}
