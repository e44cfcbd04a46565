package processors

import (
	"context"

	"github.com/tailrace/tailrace/kafka"
)

// While the sink writes a batch, the messages behind it that have come are decoded: the
// sink's server and this process work at the same time.
//
// It is no more than a cache. What a message is decoded to depends on its bytes and on
// schemas, which never change; gate, steps and dead letters come when it is the batch's
// turn. What can go wrong, and what is done about it:
//
//	the batch under way is tried again, or in part     it is decoded anew; what was decoded ahead waits
//	reading goes on elsewhere (Stretch), the rate      only messages that lie where those lay that were
//	gives fewer, more have come by then                decoded are taken for them; the rest is decoded anew
//	the registry does not answer, or not yet           nothing is kept; the batch's turn finds out for itself
//	the partition is given back                        the end of the owner waits for it; offsets know nothing of it
//
// There are two decoders, so the values of the batch under way stay as they are: the one
// that decoded ahead becomes the owner's with what it has decoded.
type ahead struct {
	decoder  *decoder // nil: nothing is decoded ahead
	messages []kafka.Message
	items    []item        // of messages; nil when they could not be decoded
	done     chan struct{} // closed when items are there; nil: nothing is
}

// aheadLeast is how many messages are worth it.
const aheadLeast = 256

// idle tells whether begin would decode anything.
func (a *ahead) idle() bool { return a.decoder != nil && a.done == nil }

// begin decodes messages, unless others are still there.
func (a *ahead) begin(ctx context.Context, messages []kafka.Message) {
	if !a.idle() || len(messages) < aheadLeast {
		return
	}
	a.messages, a.items, a.done = messages, nil, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		if items, err := a.decoder.batch(ctx, messages); err == nil {
			a.items = items
		}
	}(a.done)
}

// take returns the items of the first n of messages, if they were decoded ahead. They
// are given once. A batch that stands before what was decoded leaves it there.
func (a *ahead) take(messages []kafka.Message) (items []item, n int) {
	if a.done == nil || len(messages) == 0 || messages[len(messages)-1].Offset < a.messages[0].Offset {
		return nil, 0
	}
	a.wait()
	n = min(len(messages), len(a.messages))
	for i := range n {
		if !sameMessage(&messages[i], &a.messages[i]) {
			n = 0
			break
		}
	}
	if items = a.items; n > 0 && items != nil {
		for len(items) > 0 && items[len(items)-1].message.Offset > messages[n-1].Offset {
			items = items[:len(items)-1]
		}
	} else {
		items, n = nil, 0
	}
	*a = ahead{decoder: a.decoder}
	return items, n
}

// sameMessage tells whether b is a, and not only alike.
func sameMessage(a, b *kafka.Message) bool {
	return a.Offset == b.Offset && a.Control == b.Control && len(a.Value) == len(b.Value) && (len(a.Value) == 0 || &a.Value[0] == &b.Value[0])
}

// wait returns when nothing is under way.
func (a *ahead) wait() {
	if a.done != nil {
		<-a.done
	}
}

// decode is the decoder's batch, of which a part may have been decoded ahead.
func (o *owner) decode(ctx context.Context, messages []kafka.Message) ([]item, error) {
	items, n := o.ahead.take(messages)
	if n > 0 {
		o.decoder, o.ahead.decoder = o.ahead.decoder, o.decoder
		if o.line != nil {
			o.line.arena = &o.decoder.arena
		}
	}
	if n == len(messages) {
		return items, nil
	}
	rest, err := o.decoder.batch(ctx, messages[n:])
	if err != nil || n == 0 {
		return rest, err
	}
	return append(items, rest...), nil
}
