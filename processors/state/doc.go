// Package state is what steps remember: the words for it, and the store in
// memory.
//
// Steps write into an [Overlay], which belongs to one batch: it is applied to the
// store once the batch is durable, and dropped otherwise, so that a store never
// knows of what was not committed.
package state
