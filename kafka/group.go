package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Group is a consumer group as somebody sees it who is no member. Its methods may be
// called from several goroutines.
type Group struct {
	name   string
	client *kgo.Client
	admin  *kadm.Client
}

// NewGroup dials nothing.
func NewGroup(c Config, name string) (*Group, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Group{name: name, client: client, admin: kadm.NewClient(client)}, nil
}

// Close ends the connections.
func (g *Group) Close() { g.client.Close() }

// Members are the members that the group has now, each as client@host.
func (g *Group) Members(ctx context.Context) ([]string, error) {
	described, err := g.admin.DescribeGroups(ctx, g.name)
	if err != nil {
		return nil, fmt.Errorf("kafka: describe group %q: %w", g.name, err)
	}
	d := described[g.name]
	if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("kafka: describe group %q: %w", g.name, d.Err)
	}
	var members []string
	for _, m := range d.Members {
		name := m.ClientID
		if m.InstanceID != nil {
			name = *m.InstanceID
		}
		host := strings.TrimPrefix(m.ClientHost, "/")
		if only, _, err := net.SplitHostPort(host); err == nil {
			host = only
		}
		members = append(members, name+"@"+host)
	}
	return members, nil
}

// Offsets are the offsets that the group has, with what is stored beside each. It waits
// for transactions that are about to change them.
func (g *Group) Offsets(ctx context.Context) (map[TopicPartition]Stored, error) {
	fetched, err := g.admin.FetchOffsets(ctx, g.name)
	if err == nil {
		err = fetched.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: read the offsets of group %q: %w", g.name, err)
	}
	out := map[TopicPartition]Stored{}
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			out[TopicPartition{o.Topic, o.Partition}] = Stored{Offset: o.At, Metadata: o.Metadata}
		}
	})
	return out, nil
}

// ErrMembers says that a group has members, who alone may change its offsets.
var ErrMembers = errors.New("the group has members")

// Set changes offsets of a group that has no members, all in one request: ErrMembers when
// it has.
func (g *Group) Set(ctx context.Context, offsets map[TopicPartition]Stored) error {
	set := kadm.Offsets{}
	for tp, o := range offsets {
		set.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: o.Offset, LeaderEpoch: -1, Metadata: o.Metadata})
	}
	done, err := g.admin.CommitOffsets(ctx, g.name, set)
	if err == nil {
		err = done.Error()
	}
	if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress) {
		return fmt.Errorf("kafka: set the offsets of group %q: %w: %w", g.name, ErrMembers, err)
	}
	if err != nil {
		return fmt.Errorf("kafka: set the offsets of group %q: %w", g.name, err)
	}
	return nil
}
