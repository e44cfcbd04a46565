package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const outputYAML = `name: %[1]s
kafka: {brokers: [%[2]s]}
registry: {url: %[3]s}
source: {topics: [%[4]s]}
sink:
  kafka: {topic: %[5]s, sessions: 1}
ops: {listen: ""}
`

// copies is what Kafka to Kafka is measured with: a run's output topic, of one
// partition.
type copies struct {
	*topics
	out string
}

func (f *filled) copies(ctx context.Context, r *rig) (*copies, error) {
	t, err := makeTopics(ctx, f.to.brokers, r.name(), []string{"out"})
	if err != nil {
		return nil, err
	}
	return &copies{t, t.topic("out")}, nil
}

// awaitLast returns the time at which the last row of the load was seen. The records
// before it are not read.
func (c *copies) awaitLast(ctx context.Context, count int64, gone <-chan struct{}) (time.Time, error) {
	for {
		ends, err := c.admin.ListCommittedOffsets(ctx, c.out)
		if err != nil {
			return time.Time{}, err
		}
		if end, _ := ends.Lookup(c.out, 0); end.Offset >= count {
			break
		}
		select {
		case <-gone:
			return time.Time{}, errors.New("it ended before the last row")
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the last row does not come: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.out: {0: kgo.NewOffset().At(count - 1)}}))
	if err != nil {
		return time.Time{}, err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return time.Time{}, fmt.Errorf("the last row does not come: %w", err)
		}
		for r := range fetches.RecordsAll() {
			if id, err := keyOf(r.Key); err != nil || id == lastRow {
				return time.Now(), err
			}
		}
	}
}

// intoTopic is a run from the load's topic to its last row in the output.
func (f *filled) intoTopic(label string, start func(m *meter, c *copies) (*program, error)) contender {
	return contender{label, func(ctx context.Context, m *meter) error {
		defer m.close()
		c, err := f.copies(ctx, m.rig)
		if err != nil {
			return err
		}
		defer c.drop()
		if err := errors.Join(m.begin(), m.watch(roleBroker, f.to.pid, false)); err != nil {
			return err
		}
		p, err := start(m, c)
		if err != nil {
			return err
		}
		defer m.stopProfiled(p)
		if err := m.watch(roleClient, p.Pid(), true); err != nil {
			return err
		}
		at, err := c.awaitLast(ctx, f.count, p.Done())
		if err != nil {
			return errors.Join(err, f.lost(p))
		}
		return errors.Join(m.end(at, f.rows), c.verify(ctx, f.count))
	}}
}

// lost is why a program is gone; nil while it runs.
func (f *filled) lost(p *program) error {
	select {
	case <-p.Done():
		return p.ended()
	default:
		return nil
	}
}

func (f *filled) bareLoop() contender {
	return f.intoTopic("bare loop", func(m *meter, c *copies) (*program, error) {
		return m.startPart(c.name, "loop", "--brokers", f.to.brokers, "--from", f.topics.topic("items"), "--to", c.out, "--group", c.name)
	})
}

func (f *filled) processorToTopic() contender {
	return f.intoTopic("processor", func(m *meter, c *copies) (*program, error) {
		return f.outputRun(m, c, f.topics.topic("items"))
	})
}

func (f *filled) outputRun(m *meter, c *copies, source string) (*program, error) {
	return m.processorWith(c.name, fmt.Sprintf(outputYAML, c.name, f.to.brokers, f.to.registry, source, c.out))
}

// feedFactor is how many times the rate of commits is fed where no database is in
// the way.
const feedFactor = 20

// processorTimely feeds the load's records at a fixed rate into a topic of the run's
// own, from when each is due to when it is in the output.
func (f *filled) processorTimely() contender {
	return contender{"processor fed", func(ctx context.Context, m *meter) error {
		defer m.close()
		c, err := f.copies(ctx, m.rig)
		if err != nil {
			return err
		}
		defer c.drop()
		source := c.topic("finish") // any topic of the run's
		p, err := f.outputRun(m, c, source)
		if err != nil {
			return err
		}
		defer m.stopProfiled(p)
		if err := errors.Join(m.begin(), m.watch(roleBroker, f.to.pid, false), m.watch(roleClient, p.Pid(), true)); err != nil {
			return err
		}
		seconds := m.o.seconds + warm
		rate := min(feedFactor*m.o.rate, int(f.count)/seconds)
		feeder, err := m.startPart(m.name(), "feed", "--brokers", f.to.brokers, "--from", f.topics.topic("items"), "--into", source, "--out", c.out,
			"--rate", strconv.Itoa(rate), "--seconds", strconv.Itoa(m.o.seconds), "--warm", strconv.Itoa(warm))
		if err != nil {
			return err
		}
		defer feeder.stop()
		var said clocked
		if err := feeder.read(ctx, &said); err != nil {
			return errors.Join(err, f.lost(p))
		}
		m.result.Latency = said.Latency
		return m.end(time.Now(), said.Rows)
	}}
}
