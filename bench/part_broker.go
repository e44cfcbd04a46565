package main

import (
	"context"

	"github.com/tailrace/tailrace/internal/embedded/broker"
)

// runBroker is the embedded broker in a process of its own. It says its address.
func runBroker(context.Context, []string) error {
	b, err := broker.Start(broker.Config{})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := say(b.Addr()); err != nil {
		return err
	}
	return hold()
}
