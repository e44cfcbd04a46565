// Package lint holds the rules of this repository that a compiler does not
// check, as tests: which package may import which, package comments, no init
// functions, no sleeping tests, no paths of one machine. Each failure says what
// to do.
package lint
