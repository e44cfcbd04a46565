package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// CheckOptions is what the relay is going to do, as far as a check asks.
type CheckOptions struct {
	Name         string   // of the relay: names its internal topics
	Topics       []string // data topics of the tables that match now, and the dead-letter topic
	Beside       []string // topics that are looked at where they exist
	Create       bool     // missing topics are made
	Partitions   int32
	Replication  int16 // -1: the broker's default
	MaxRecord    int   // bytes; a topic must take 64 KiB more
	SingleBroker bool  // fewer than three replicas are accepted
}

// durableReplicas and durableInsync are what "durable" means: a record outlives
// the loss of one broker, and is not acknowledged by one alone.
const (
	durableReplicas = 3
	durableInsync   = 2
)

// Check looks at everything that the relay needs of Kafka and returns what it
// found. It changes nothing. A cluster that does not answer is a finding too.
func Check(ctx context.Context, c Config, o CheckOptions) []cdc.Finding {
	opts, err := c.options()
	if err == nil {
		var client *kgo.Client
		if client, err = kgo.NewClient(append(opts, kgo.RequestRetries(1), kgo.RetryTimeout(10*time.Second))...); err == nil {
			defer client.Close()
			k := &checker{options: o, admin: kadm.NewClient(client)}
			k.run(ctx, c)
			return k.findings
		}
	}
	return []cdc.Finding{{Level: cdc.LevelError, Name: "kafka", What: err.Error(), Remedy: "correct the keys under kafka"}}
}

// checker is one run of Check.
type checker struct {
	options  CheckOptions
	admin    *kadm.Client
	brokers  int
	broker   map[string]string // a broker's own settings
	findings []cdc.Finding
}

func (k *checker) add(level cdc.Level, name, what, remedy string) {
	k.findings = append(k.findings, cdc.Finding{Level: level, Name: name, What: what, Remedy: remedy})
}

func (k *checker) run(ctx context.Context, c Config) {
	bounded, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	brokers, err := k.admin.ListBrokers(bounded)
	if err != nil {
		k.add(cdc.LevelError, "kafka", fmt.Sprintf("no broker answers at %s: %v", strings.Join(c.Brokers, ", "), reason(err)), "start Kafka, or correct kafka.brokers, kafka.tls and kafka.sasl")
		return
	}
	k.brokers = len(brokers)
	k.add(cdc.LevelInfo, "kafka", fmt.Sprintf("Kafka answers; brokers: %d", k.brokers), "")
	for _, check := range []func(context.Context, kadm.BrokerDetails) error{k.defaults, k.topics, k.internal} {
		if err := check(ctx, brokers); err != nil {
			k.add(cdc.LevelError, "kafka", "a check failed: "+reason(err).Error(), "mend that and run relay check again")
		}
	}
}

// reason turns the error of a run-out deadline into one that says so.
func reason(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// durability reports replicas below what durable means.
func (k *checker) durability(name, what, remedy string) {
	if k.options.SingleBroker {
		k.add(cdc.LevelInfo, name, what+"; accepted by kafka.single_broker", "")
		return
	}
	k.add(cdc.LevelError, name, what, remedy)
}

// defaults looks at what a topic would get that does not exist yet.
func (k *checker) defaults(ctx context.Context, brokers kadm.BrokerDetails) error {
	resources, err := k.admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()[0])
	if err != nil {
		return fmt.Errorf("read the broker's settings: %w", err)
	}
	k.broker = settings(resources)
	replicas := int(k.options.Replication)
	if replicas < 0 {
		replicas = number(k.broker["default.replication.factor"], 1)
	}
	const remedy = "add brokers and set kafka.topics.replication_factor: 3, or accept it by kafka.single_broker: true"
	switch {
	case k.brokers < durableReplicas:
		k.durability("replicas", fmt.Sprintf("brokers: %d, too few for three replicas: a lost disk loses records", k.brokers), remedy)
	case replicas < durableReplicas:
		k.durability("replicas", fmt.Sprintf("new topics get %d replicas: a lost broker can lose records", replicas), "set kafka.topics.replication_factor: 3, or accept it by kafka.single_broker: true")
	}
	if k.options.Replication > int16(k.brokers) {
		k.add(cdc.LevelError, "replicas", fmt.Sprintf("kafka.topics.replication_factor is %d, above the number of brokers, %d", k.options.Replication, k.brokers), "lower it, or add brokers")
	}
	if k.broker["unclean.leader.election.enable"] == "true" {
		k.durability("unclean_election", "unclean.leader.election.enable is true: a broker that lags can become leader and lose records", "set unclean.leader.election.enable=false on the brokers")
	}
	if limit := number(k.broker["message.max.bytes"], 0); limit > 0 && limit < k.options.MaxRecord+topicSlack && !k.options.Create {
		k.add(cdc.LevelInfo, "max_message_bytes", fmt.Sprintf("the brokers' message.max.bytes is %d, below max_row and 64 KiB; topics need their own max.message.bytes", limit), "")
	}
	return nil
}

// topics looks at the data topics that the tables need.
func (k *checker) topics(ctx context.Context, _ kadm.BrokerDetails) error {
	if len(k.options.Topics) == 0 {
		return nil
	}
	names := slices.Compact(slices.Sorted(slices.Values(slices.Concat(k.options.Topics, k.options.Beside))))
	details, err := k.admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("list the topics: %w", err)
	}
	var missing, existing []string
	for _, name := range names {
		switch err := details[name].Err; {
		case errors.Is(err, kerr.UnknownTopicOrPartition) && !slices.Contains(k.options.Topics, name):
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		case err != nil:
			k.add(cdc.LevelError, "topic", fmt.Sprintf("topic %s: %v", name, err), "let the relay's user describe and write it")
		default:
			existing = append(existing, name)
		}
	}
	switch {
	case len(missing) > 0 && k.options.Create:
		k.add(cdc.LevelInfo, "topic", fmt.Sprintf("relay run makes topics: %s", some(missing)), "")
	case len(missing) > 0:
		k.add(cdc.LevelError, "topic", fmt.Sprintf("topics do not exist, and kafka.topics.create is false: %s", some(missing)),
			fmt.Sprintf("create them with max.message.bytes=%d, or set kafka.topics.create: true", k.options.MaxRecord+topicSlack))
	}
	if len(existing) == 0 {
		return nil
	}
	configs, err := k.admin.DescribeTopicConfigs(ctx, existing...)
	if err != nil {
		return fmt.Errorf("read the topics' settings: %w", err)
	}
	for _, c := range configs {
		if c.Err != nil {
			k.add(cdc.LevelWarning, "topic", fmt.Sprintf("topic %s: its settings cannot be read: %v", c.Name, c.Err), "let the relay's user describe its configuration")
			continue
		}
		k.topic(c.Name, details[c.Name], settings([]kadm.ResourceConfig{c}))
	}
	k.add(cdc.LevelInfo, "topic", fmt.Sprintf("%d topics are there", len(existing)), "")
	return nil
}

func (k *checker) topic(name string, d kadm.TopicDetail, s map[string]string) {
	need := k.options.MaxRecord + topicSlack
	if limit := number(s["max.message.bytes"], need); limit < need {
		k.add(cdc.LevelError, "max_message_bytes", fmt.Sprintf("topic %s takes records of %d bytes, max_row and 64 KiB are %d", name, limit, need),
			fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config max.message.bytes=%d, or a smaller max_row", name, need))
	}
	if strings.Contains(s["cleanup.policy"], "compact") && !strings.HasSuffix(name, ".dead_letter") {
		k.add(cdc.LevelWarning, "cleanup_policy", fmt.Sprintf("topic %s is compacted, which drops a row's intermediate changes", name), "set cleanup.policy=delete, unless readers want only the last state")
	}
	if n := len(d.Partitions); n != int(k.options.Partitions) {
		k.add(cdc.LevelInfo, "partitions", fmt.Sprintf("topic %s has %d partitions, kafka.topics.partitions is %d; the topic's count is used", name, n, k.options.Partitions), "")
	}
	replicas := 1 << 30
	for _, p := range d.Partitions {
		replicas = min(replicas, len(p.Replicas))
	}
	if replicas < durableReplicas {
		k.durability("replicas", fmt.Sprintf("topic %s has %d replicas: a lost broker can lose records", name, replicas), "reassign it to three brokers, or accept it by kafka.single_broker: true")
	} else if insync := number(s["min.insync.replicas"], durableInsync); insync < durableInsync {
		k.durability("min_insync_replicas", fmt.Sprintf("topic %s has min.insync.replicas=%d: a record on one broker counts as written", name, insync),
			fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config min.insync.replicas=2", name))
	}
	if s["unclean.leader.election.enable"] == "true" {
		k.durability("unclean_election", fmt.Sprintf("topic %s allows unclean leader elections, which lose records", name),
			fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config unclean.leader.election.enable=false", name))
	}
}

// internal looks at the relay's own topics, where they exist.
func (k *checker) internal(ctx context.Context, _ kadm.BrokerDetails) error {
	want := map[string]string{ProgressTopic(k.options.Name): "compact", SchemaTopic(k.options.Name): "delete"}
	for name, policy := range want {
		details, err := k.admin.ListTopics(ctx, name)
		if err != nil {
			return fmt.Errorf("look at topic %s: %w", name, err)
		}
		d := details[name]
		if errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			continue
		}
		configs, err := k.admin.DescribeTopicConfigs(ctx, name)
		if err != nil {
			return fmt.Errorf("read the settings of topic %s: %w", name, err)
		}
		if got := settings(configs)["cleanup.policy"]; got != "" && got != policy {
			k.add(cdc.LevelError, "internal_topic", fmt.Sprintf("topic %s has cleanup.policy=%s: the relay would lose its memory", name, got),
				fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config cleanup.policy=%s", name, policy))
		}
		if n := len(d.Partitions); n > 1 {
			k.add(cdc.LevelError, "internal_topic", fmt.Sprintf("topic %s has %d partitions, want 1", name, n), "delete it while nothing was published yet, or begin anew under another name")
		}
	}
	return nil
}

// settings are the values by name; what may not be read is left out.
func settings(resources []kadm.ResourceConfig) map[string]string {
	m := map[string]string{}
	for _, r := range resources {
		for _, c := range r.Configs {
			if c.Value != nil {
				m[c.Key] = *c.Value
			}
		}
	}
	return m
}

func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return otherwise
}

func some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
