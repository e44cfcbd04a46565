// Package state is what a pipeline remembers: the records of the runtime and of
// steps, their keys, and the store in memory.
//
// A batch writes into an [Overlay], which is applied to the store once the batch is
// durable, and dropped otherwise, so that a store never knows of what was not
// committed. What is durable is elsewhere: a compacted changelog topic, or a table
// of the sink. A store can be lost; it is read again from there.
package state
