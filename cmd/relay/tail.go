package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// tailFlags are the flags of relay tail.
type tailFlags struct {
	from     string
	table    bool
	untilEnd bool
	count    int
}

func newTailCommand(g *globals) *cobra.Command {
	var flags tailFlags
	cmd := &cobra.Command{
		Use:   "tail [TOPIC …]",
		Short: "Prints decoded records, one line each",
		Long: `Prints decoded records, one line each: position, operation, table, row. Without TOPIC it reads
all data topics of the relay. A TOPIC may be the end of a data topic's name: public.orders, orders;
message, transaction and heartbeat are the topics of logical messages, of transaction boundaries
and of heartbeats. It follows until it is stopped.`,
		Example: "  relay tail orders -n 10\n  relay tail message --from end\n  relay tail --from end --table\n  relay tail shop.public.orders --until-end -o json | jq .after",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, topics []string) error {
			out, err := g.Out()
			if err != nil {
				return err
			}
			from, err := flags.start()
			if err != nil {
				return err
			}
			s, _, err := g.Load()
			if err != nil {
				return err
			}
			return s.tail(cmd.Context(), kafka.TailConfig{Topics: topics, From: from, UntilEnd: flags.untilEnd}, flags, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "beginning", "where to begin in every partition: beginning, end or an `OFFSET`")
	f.BoolVar(&flags.table, "table", false, "rows in columns, with a line of headers")
	f.BoolVar(&flags.untilEnd, "until-end", false, "stop at what is committed now")
	f.IntVarP(&flags.count, "count", "n", 0, "stop after `N` records")
	return cmd
}

func (f *tailFlags) start() (kafka.TailFrom, error) {
	if f.count < 0 {
		return kafka.TailFrom{}, ops.Usage(fmt.Errorf("-n %d: want 0, for no limit, or more", f.count))
	}
	switch f.from {
	case "beginning":
		return kafka.TailFrom{}, nil
	case "end":
		return kafka.TailFrom{End: true}, nil
	}
	offset, err := strconv.ParseInt(f.from, 10, 64)
	if err != nil || offset < 0 {
		return kafka.TailFrom{}, ops.Usage(fmt.Errorf("--from %q: want beginning, end or an offset", f.from))
	}
	return kafka.TailFrom{Offset: offset}, nil
}

// ownTopics are the data topics that do not begin with name.
func (s *settings) ownTopics() []string {
	var list []string
	for _, o := range s.Tables.Overrides {
		if o.Topic != "" {
			list = append(list, o.Topic)
		}
	}
	return list
}

// sideTopics are the topics of what belongs to no table, by a word for each.
func (s *settings) sideTopics() map[string]string {
	return map[string]string{
		"message": cdc.MessageTopic(s.Name), "transaction": cdc.TransactionTopic(s.Name), "heartbeat": cdc.HeartbeatTopic(s.Name),
	}
}

func (s *settings) tail(ctx context.Context, c kafka.TailConfig, flags tailFlags, out *ops.Output) error {
	var err error
	if c.Config, err = s.kafkaConfig(); err != nil {
		return err
	}
	c.Name = s.Name
	for i, topic := range c.Topics {
		if side, ok := s.sideTopics()[topic]; ok {
			c.Topics[i] = side
		}
	}
	c.Also = s.ownTopics()
	client, err := s.Registry.shared().Client(nil)
	if err != nil {
		return err
	}
	decode := newDecoder(client)
	printer := recordPrinter{out: out, table: flags.table, prefix: s.Name + ".", heartbeats: s.sideTopics()["heartbeat"]}
	count := 0
	return kafka.Tail(ctx, c, func(m kafka.Message) error {
		if err := printer.print(decode.record(ctx, &m)); err != nil {
			return err
		}
		if count++; count == flags.count {
			return kafka.ErrEnough
		}
		return nil
	})
}
