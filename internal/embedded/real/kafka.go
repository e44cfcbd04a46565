package real

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka is one Apache Kafka, broker and controller in one process. Its methods
// are safe for concurrent use.
type Kafka struct {
	*server
	addr string
}

// kafkaProperties leaves all that a client could notice at Kafka's defaults, but
// what one broker alone demands. Topics are made by those who need them.
const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=%[3]s
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
`

// StartKafka starts an empty Kafka that keeps its data and its log in dir, and
// returns when it answers.
func (p Parts) StartKafka(ctx context.Context, dir string) (*Kafka, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	controller, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	properties := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(kafkaProperties, port, controller, filepath.Join(dir, "data"))
	if err := os.WriteFile(properties, []byte(text), 0o644); err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	id[0] &= 0x7f // its text then does not begin like an option
	classes := filepath.Join(p.folder(kafkaPart), "*")
	format := exec.CommandContext(ctx, p.kafkaJava, "-cp", classes, "kafka.tools.StorageTool",
		"format", "-t", base64.RawURLEncoding.EncodeToString(id), "-c", properties)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's folder: %w: %s", err, end(string(out)))
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	k := &Kafka{addr: addr, server: &server{
		name:    "Kafka " + KafkaVersion,
		command: []string{p.kafkaJava, "-Xmx1g", "-Dlog4j2.level=INFO", "-cp", classes, "kafka.Kafka", properties},
		dir:     dir,
		log:     filepath.Join(dir, "kafka.log"),
		answers: func(ctx context.Context) error { return ping(ctx, addr) },
	}}
	return k, k.start(ctx)
}

func ping(ctx context.Context, addr string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Ping(ctx)
}

// Addr is host:port for clients.
func (k *Kafka) Addr() string { return k.addr }

// Close is Kill: a broker's data need no farewell.
func (k *Kafka) Close() { k.Kill() }

// Restart starts the broker again after Kill, with what it had.
func (k *Kafka) Restart(ctx context.Context) error { return k.start(ctx) }
