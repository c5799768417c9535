//go:build !linux

package flow

// adviseLarge does nothing: only Linux takes such advice.
func adviseLarge(_, _ uintptr) {}
