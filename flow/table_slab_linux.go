package flow

import "syscall"

// adviseLarge asks for large pages, madvise(2). It is advice: without it, and where it is refused, all works, only slower.
func adviseLarge(start, size uintptr) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start, size, syscall.MADV_HUGEPAGE)
}
