package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// LeaveGroup takes static members out of a group, so that it gives their partitions to
// others at once and does not wait for their session timeout. One that the group does not
// have is no error; left counts the others. One that runs joins anew.
func LeaveGroup(ctx context.Context, c Config, group string, instances []string) (left int, err error) {
	opts, err := c.options()
	if err != nil {
		return 0, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return 0, fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	answers, err := kadm.NewClient(client).LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instances...).Reason("scaled in"))
	if errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.UnknownMemberID) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("leave group %q: %w", group, err)
	}
	for id, a := range answers {
		switch {
		case a.Err == nil:
			left++
		case !errors.Is(a.Err, kerr.UnknownMemberID):
			return left, fmt.Errorf("leave group %q: member %q: %w", group, id, a.Err)
		}
	}
	return left, nil
}
