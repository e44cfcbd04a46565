package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// exactly and atLeast are the two kinds of delivery.
const (
	exactly = "exactly_once"
	atLeast = "at_least_once"
)

// relayYAML leaves all at its default but what a copy of a slot demands: tables
// count as read, nothing is written to the database, and a fault ends the process.
const relayYAML = `name: %[1]s
postgres:
  url: %[2]s
  slot: {name: %[3]s, create: false}
  publication: {name: bench}
kafka:
  brokers: [%[4]s]
  single_broker: true
  topics: {partitions: 1}
registry: {url: %[5]s}
snapshot: {mode: never}
heartbeat: {interval: 0s}
delivery: %[6]s
on_stop: exit
ops: {listen: ""}
`

// relayRun starts the relay on a slot. name is that of its topics.
func (s *stage) relayRun(to logs, name, slot, delivery string) (*program, error) {
	file := filepath.Join(s.rig.dir, name+".yaml")
	text := fmt.Sprintf(relayYAML, name, s.url, slot, to.brokers, to.registry, delivery)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return s.rig.start(name, s.rig.profiled(name), filepath.Join(s.rig.o.bin, "relay"), "run", "-c", file, "--log-format", "text")
}

// profiled is the environment in which a program built with bench/profile writes
// a CPU profile.
func (r *rig) profiled(name string) []string {
	if r.o.profile == "" {
		return nil
	}
	return []string{"TAILRACE_CPU_PROFILE=" + filepath.Join(r.o.profile, name+".cpu")}
}

// stopProfiled is stop for a program that may write a profile.
func (r *rig) stopProfiled(p *program) {
	if r.o.profile != "" {
		p.Signal(syscall.SIGUSR1)
		time.Sleep(time.Second)
	}
	p.stop()
}

// relay publishes what is behind the slot.
func (s *stage) relay(label, delivery string, open func(context.Context) (logs, func(), error)) contender {
	return contender{label, func(ctx context.Context, m *meter) error {
		defer m.close()
		to, done, err := open(ctx)
		if err != nil {
			return err
		}
		defer done()
		slot, err := s.copySlot(ctx)
		if err != nil {
			return err
		}
		defer s.dropSlot(slot)
		t, err := makeTopics(ctx, to.brokers, slot, s.tables)
		if err != nil {
			return err
		}
		defer t.drop()
		reached, err := t.await(ctx)
		if err != nil {
			return err
		}
		defer reached.close()
		p, err := s.relayRun(to, slot, slot, delivery)
		if err != nil {
			return err
		}
		defer m.stopProfiled(p)
		if err := errors.Join(m.watch(roleClient, p.Pid(), true), m.watch(roleBroker, to.pid, false)); err != nil {
			return err
		}
		if err := s.beginRead(ctx, m, slot, p.Done()); err != nil {
			return errors.Join(err, p.ended())
		}
		if err := m.finish(ctx, s, reached, p); err != nil {
			return err
		}
		return t.verify(ctx, s.count)
	}}
}

// finish ends the meter when the last mark is durable.
func (m *meter) finish(ctx context.Context, s *stage, reached *marks, p *program) error {
	select {
	case at := <-reached.finish:
		select {
		case m.half = <-reached.half:
		default: // a load of one transaction has none
		}
		return m.end(at, s.rows)
	case <-p.Done():
		return p.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// toKafka opens Apache Kafka.
func (r *rig) toKafka(ctx context.Context) (logs, func(), error) {
	to, err := r.real(ctx)
	return to, func() {}, err
}

// toEmbedded opens an embedded broker of this run alone, in its own process.
func (r *rig) toEmbedded(ctx context.Context) (logs, func(), error) {
	url, err := r.embedded()
	if err != nil {
		return logs{}, nil, err
	}
	p, err := r.startPart(r.name()+"-broker", "broker")
	if err != nil {
		return logs{}, nil, err
	}
	to := logs{registry: url, pid: p.Pid()}
	if err := p.read(ctx, &to.brokers); err != nil {
		p.stop()
		return logs{}, nil, err
	}
	return to, p.stop, nil
}
