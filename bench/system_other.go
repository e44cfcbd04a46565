//go:build !linux

package main

import "errors"

func pinThread() error { return errors.New("the rig runs on Linux only: it measures by /proc") }

func system() (kernel string, memory int64) { return "", 0 }
