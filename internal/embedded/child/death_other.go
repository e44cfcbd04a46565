//go:build !linux

package child

import "syscall"

// dieWithParent does nothing where the kernel has no parent-death signal: there a
// SIGKILL of the parent leaves the child running until it is stopped by hand.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
