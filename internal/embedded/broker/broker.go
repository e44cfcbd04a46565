// Package broker runs a Kafka-compatible broker inside this process, for the demo
// and for tests: kfake, with transactions, consumer groups and compaction. It
// is no broker for data that matters: nothing is replicated, and a crash loses
// what the operating system had not written.
package broker

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// DefaultPartitions is what an empty Config.Partitions means.
const DefaultPartitions = 6

// Config says how the broker runs. Its zero value keeps everything in memory
// on a free port.
type Config struct {
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// DataDir keeps topics, offsets and transactions in files, which also costs
	// less memory; a broker started again on it goes on where it was closed.
	DataDir string
	// Partitions of a topic whose creator leaves the number to the broker.
	Partitions int
	// AutoCreate lets clients create topics by naming them.
	AutoCreate bool
	// MinSessionTimeout is the shortest session timeout that a group member may
	// ask for; one second when empty, so that tests of lost members are quick.
	MinSessionTimeout time.Duration
	// Settings are broker settings by their Kafka names.
	Settings map[string]string
}

// Broker is one running broker. Its methods are safe for concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// Start returns when the broker accepts connections.
func Start(cfg Config) (*Broker, error) {
	if cfg.Partitions == 0 {
		cfg.Partitions = DefaultPartitions
	}
	if cfg.MinSessionTimeout == 0 {
		cfg.MinSessionTimeout = time.Second
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("tailrace-embedded"),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.GroupMinSessionTimeout(cfg.MinSessionTimeout),
		kfake.BrokerConfigs(cfg.Settings),
	}
	if cfg.Port != 0 {
		opts = append(opts, kfake.Ports(cfg.Port))
	}
	if cfg.DataDir != "" {
		opts = append(opts, kfake.DataDir(cfg.DataDir))
	}
	if cfg.AutoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("start the broker on %s: %w", net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)), err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr is host:port for clients.
func (b *Broker) Addr() string { return b.addr }

// Cluster is the cluster behind the broker, for tests that inject faults.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// Close stops the broker and, with a DataDir, writes what is left to it. A second
// call does nothing.
func (b *Broker) Close() { b.cluster.Close() }
