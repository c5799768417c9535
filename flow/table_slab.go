package flow

import "unsafe"

// chunkSize is how many flows a chunk of a slab holds. Chunks never move, so growing copies nothing.
const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
)

// growChunks is how many chunks a slab grows by once it has as many: large pieces, so that large pages fit them. Small tables stay
// small.
const growChunks = 8

// growth is how many chunks are to be added to so many.
func growth(have int) int {
	if have >= growChunks {
		return growChunks
	}
	return 1
}

// grow adds n chunks to a slab.
func grow[T any](slab []*[chunkSize]T, n int) []*[chunkSize]T {
	block := largeSlice[T](n * chunkSize)
	for ; len(block) > 0; block = block[chunkSize:] {
		slab = append(slab, (*[chunkSize]T)(block))
	}
	return slab
}

// largePage is the size of a large page, and largeSlice asks for them from this size on.
const largePage = 2 << 20

// largeSlice returns a slice of elements without pointers, in large pages where the system has them: packets meet flows in any
// order, and with pages of 4 KiB each would miss the processor's cache of addresses.
func largeSlice[T any](n int) []T {
	s := make([]T, n)
	if size := unsafe.Sizeof(s[0]) * uintptr(n); size >= largePage {
		// The pages at the ends are shared with other memory, and are none the worse for it.
		start := uintptr(unsafe.Pointer(unsafe.SliceData(s))) &^ (largePage - 1)
		end := (uintptr(unsafe.Pointer(unsafe.SliceData(s))) + size + largePage - 1) &^ (largePage - 1)
		adviseLarge(start, end-start)
	}
	return s
}
