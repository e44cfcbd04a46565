package test

import (
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The kinds of Kafka messages that a trap can wait for.
const (
	kafkaData     = "a Produce request with rows"
	kafkaProgress = "a Produce request with progress"
	kafkaAck      = "the answer to a Produce request with rows"
	kafkaEnd      = "an EndTxn request"
	kafkaEnded    = "the answer to an EndTxn request"
	kafkaJoin     = "a JoinGroup request"
	kafkaOffsets  = "an OffsetCommit request"
	kafkaStored   = "the answer to an OffsetCommit request"
	kafkaFetched  = "the answer to a Fetch request"

	// Of a processor's sessions.
	kafkaChangelog  = "a Produce request with state, in a transaction"
	kafkaMark       = "a Produce request that marks the end of the state"
	kafkaTxnOffsets = "a TxnOffsetCommit request"
)

// kafkaTap is a tap before a broker of one node. It names itself where the
// broker names its own address, so clients stay behind it.
type kafkaTap struct {
	*tap
	mu     sync.Mutex          // guards the following
	topics map[[16]byte]string // by id, as metadata told
}

func newKafkaTap(t *testing.T, p *trap, target func() string) *kafkaTap {
	k := &kafkaTap{topics: map[[16]byte]string{}}
	k.tap = newTap(t, p, target, k.talk)
	return k
}

// request is one that waits for its answer; Kafka answers in order.
type request struct {
	key, version int16
	kind         string
}

func (k *kafkaTap) talk(l *link) (up, down func() error) {
	waiting := make(chan request, 10_000)
	up = func() error {
		b, err := sized(l.client, 0, false)
		if err != nil {
			return err
		}
		if len(b) < 12 {
			return errFrame
		}
		r := request{key: int16(binary.BigEndian.Uint16(b[4:])), version: int16(binary.BigEndian.Uint16(b[6:]))}
		kinds := k.classify(r, b)
		for _, kind := range kinds {
			if kind != kafkaFetched {
				k.trap.pass(kind, false)
			}
		}
		if len(kinds) > 0 {
			r.kind = map[string]string{kafkaData: kafkaAck, kafkaEnd: kafkaEnded, kafkaOffsets: kafkaStored, kafkaFetched: kafkaFetched}[kinds[0]]
		}
		if !k.silent(r, b) {
			waiting <- r
		}
		_, err = l.server.Write(b)
		return err
	}
	down = func() error {
		b, err := sized(l.server, 0, false)
		if err != nil {
			return err
		}
		r := <-waiting
		if b, err = k.rewrite(r, b); err != nil {
			return err
		}
		k.dawdle()
		if r.kind != "" {
			k.trap.pass(r.kind, false)
		}
		if _, err = l.client.Write(b); err == nil && r.kind != "" {
			k.trap.pass(r.kind, true)
		}
		return err
	}
	return up, down
}

// body is a request without its header: client id, and tags where it is flexible.
func body(b []byte, flexible bool) []byte {
	b = b[12:]
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	if n > 0 {
		b = b[n:]
	}
	if flexible && len(b) > 0 {
		b = b[1:] // no tags: clients send none here
	}
	return b
}

// classify names what a trap can wait for.
func (k *kafkaTap) classify(r request, b []byte) []string {
	switch kmsg.Key(r.key) {
	case kmsg.EndTxn:
		return []string{kafkaEnd}
	case kmsg.JoinGroup:
		return []string{kafkaJoin}
	case kmsg.OffsetCommit:
		return []string{kafkaOffsets}
	case kmsg.Fetch:
		return []string{kafkaFetched} // no trap waits for the request itself
	case kmsg.TxnOffsetCommit:
		return []string{kafkaTxnOffsets}
	case kmsg.Produce:
	default:
		return nil
	}
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(r.version)
	if err := req.ReadFrom(body(b, req.IsFlexible())); err != nil {
		k.t.Errorf("a Produce request cannot be read: %v", err)
		return nil
	}
	var data, progress, state bool
	for _, t := range req.Topics {
		name := t.Topic
		if name == "" {
			k.mu.Lock()
			name = k.topics[t.TopicID]
			k.mu.Unlock()
		}
		switch {
		case strings.HasSuffix(name, ".progress"):
			progress = true
		case strings.HasSuffix(name, ".state"):
			state = true
		case !strings.HasPrefix(name, "tailrace."):
			data = true
		}
	}
	var kinds []string
	if data {
		kinds = append(kinds, kafkaData)
	}
	if progress {
		kinds = append(kinds, kafkaProgress)
	}
	switch {
	case state && req.TransactionID != nil:
		kinds = append(kinds, kafkaChangelog)
	case state:
		kinds = append(kinds, kafkaMark)
	}
	return kinds
}

// silent tells whether a request gets no answer: Produce without acks.
func (k *kafkaTap) silent(r request, b []byte) bool {
	if kmsg.Key(r.key) != kmsg.Produce {
		return false
	}
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(r.version)
	return req.ReadFrom(body(b, req.IsFlexible())) == nil && req.Acks == 0
}

// rewrite puts the tap's address into answers that name brokers.
func (k *kafkaTap) rewrite(r request, b []byte) ([]byte, error) {
	key := kmsg.Key(r.key)
	if key != kmsg.Metadata && key != kmsg.FindCoordinator && key != kmsg.DescribeCluster {
		return b, nil
	}
	resp := kmsg.ResponseForKey(r.key)
	resp.SetVersion(r.version)
	head := 8
	if resp.IsFlexible() {
		head = 9
	}
	if err := resp.ReadFrom(b[head:]); err != nil {
		return nil, err
	}
	host, text, err := net.SplitHostPort(k.addr())
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return nil, err
	}
	port := int32(n)
	switch resp := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range resp.Brokers {
			resp.Brokers[i].Host, resp.Brokers[i].Port = host, port
		}
		k.mu.Lock()
		for _, t := range resp.Topics {
			if t.Topic != nil {
				k.topics[t.TopicID] = *t.Topic
			}
		}
		k.mu.Unlock()
	case *kmsg.FindCoordinatorResponse:
		resp.Host, resp.Port = host, port
		for i := range resp.Coordinators {
			resp.Coordinators[i].Host, resp.Coordinators[i].Port = host, port
		}
	case *kmsg.DescribeClusterResponse:
		for i := range resp.Brokers {
			resp.Brokers[i].Host, resp.Brokers[i].Port = host, port
		}
	}
	out := resp.AppendTo(append([]byte(nil), b[:head]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}
