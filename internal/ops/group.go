package ops

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// Group runs one main task with others beside it: when the main task ends, the
// others are told to end too, and when one of them fails, so is the main task.
// The others outlive the main task's draining, so that its page still answers.
type Group struct {
	ctx    context.Context // what the main task ends with
	beside context.Context
	cancel context.CancelFunc
	tasks  *errgroup.Group
	failed context.CancelCauseFunc
}

// NewGroup prepares a group; nothing runs yet.
func NewGroup(ctx context.Context) *Group {
	main, failed := context.WithCancelCause(ctx)
	beside, cancel := context.WithCancel(context.WithoutCancel(ctx))
	return &Group{ctx: main, beside: beside, cancel: cancel, failed: failed, tasks: &errgroup.Group{}}
}

// Beside starts a task that lives as long as the main one.
func (g *Group) Beside(f func(context.Context) error) {
	g.tasks.Go(func() error {
		err := f(g.beside)
		if err != nil {
			g.failed(err)
		}
		return err
	})
}

// Main runs the main task and returns when every task has ended.
func (g *Group) Main(f func(context.Context) error) error {
	err := f(g.ctx)
	g.failed(nil)
	g.cancel()
	return errors.Join(err, g.tasks.Wait())
}
