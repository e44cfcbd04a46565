// Package steps has the steps that a configuration can name, and the expressions
// in them.
//
//	filter.go project.go map.go mask.go route.go flatten.go
//	                one step each: what it is made of, what it checks, what it does
//	step.go         what they have in common
//	move.go         changes that leave one target row for another
//	expression.go   an expression from its text to its program
//	compile.go names.go operators.go arithmetic.go functions.go predicate.go
//	                what the parts of an expression are
//	value.go convert.go cast.go decimal.go temporal.go lists.go
//	                values, and how they stand in columns
//
// The definition of a step is immutable and shared. What it makes for a partition
// (processors.Step) is used by one goroutine at a time.
package steps
