package main

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	sinkkafka "github.com/tailrace/tailrace/sinks/kafka"
)

// runInLog wires a pipeline from topics to topics.
func (s *settings) runInLog(ctx context.Context, c processors.Config, reg *prometheus.Registry, connection kafka.Config, known schemas, letters *kafka.DeadLetters) error {
	sink := s.Sink.Kafka
	changelog, err := kafka.NewChangelog(connection, kafka.StateTopic(s.Name), sink.Topics.ReplicationFactor)
	if err != nil {
		return err
	}
	defer changelog.Close()
	// An entity's state is not larger than its document: that is refused first, and the
	// record to blame is known.
	changelog.MaxRecord = 2 * int(sink.MaxRecord)
	topics, err := kafka.NewOutputs(connection, kafka.OutputsConfig{
		Create: sink.Topics.Create, Partitions: sink.Topics.Partitions, Replication: sink.Topics.ReplicationFactor, Config: sink.outputConfig(),
	})
	if err != nil {
		return err
	}
	defer topics.Close()
	outputs := func() *sinkkafka.Sink { // Validate has tried the template
		made, _ := sinkkafka.New(s.kafkaSinkConfig(), known.client, topics)
		return made
	}
	control, err := kafka.NewControl(connection, s.Name, sink.Topics.ReplicationFactor)
	if err != nil {
		return err
	}
	defer control.Close()
	c.Control = control
	if e := c.Entity; e != nil {
		e.Topic = kafka.EntityTopic(s.Name)
		internal, err := kafka.NewOutputs(connection, kafka.OutputsConfig{Create: true, Replication: sink.Topics.ReplicationFactor, Config: map[string]string{maxMessageBytes: sink.largest()}})
		if err != nil {
			return err
		}
		defer internal.Close()
		e.Partitions = func(ctx context.Context, like int32) (int32, error) { return internal.Partitions(ctx, e.Topic, like) }
	}
	instance := s.sessionInstance()
	c.InLog = &processors.LogConfig{
		Sessions: sink.Sessions, Changelog: changelog, Letters: letters,
		Outputs: func() processors.Outputs { return outputs() },
		Session: func(n int, owner kafka.Owner) (processors.LogSession, error) {
			session := kafka.SessionConfig{
				ConsumerConfig: s.consumerConfig(connection, owner, c.Log), Compression: sink.Compression, MaxRecord: int(sink.MaxRecord),
				TransactionalID: s.Name + "." + instance + "." + strconv.Itoa(n),
			}
			session.Tasks = true
			if e := c.Entity; e != nil {
				session.Topics = append(slices.Clone(session.Topics), e.Topic)
			}
			session.FetchBytes = max(1<<20, session.FetchBytes/sink.Sessions)
			if session.InstanceID != "" {
				session.InstanceID += "." + strconv.Itoa(n)
			}
			return kafka.NewSession(session)
		},
	}
	runtime := processors.New(c)
	return s.serve(ctx, runtime, c, reg, runtime.RunInLog)
}

// maxMessageBytes is the setting of a topic that bounds its records.
const maxMessageBytes = "max.message.bytes"

// largest is the bound of a topic that takes records of max_record with their headers.
func (k *kafkaSink) largest() string { return strconv.Itoa(int(k.MaxRecord + 64*config.KiB)) }

// outputConfig are the settings of output topics that are made.
func (k *kafkaSink) outputConfig() map[string]string {
	all := map[string]string{maxMessageBytes: k.largest()}
	maps.Copy(all, k.Topics.Config)
	return all
}

func (s *settings) kafkaSinkConfig() sinkkafka.Config {
	return sinkkafka.Config{Pipeline: s.Name, Topic: s.Sink.Kafka.Topic, Tombstones: s.Sink.Kafka.Tombstones, Version: ops.Version}
}

// sessionInstance names this process in transactional ids. Without group.instance_id
// it is another one after each start; what a killed process left open is then ended by
// the brokers, after their time limit.
func (s *settings) sessionInstance() string {
	if s.Group.InstanceID != "" {
		return s.Group.InstanceID
	}
	return rand.Text()
}
