// Package afpacket captures packets on an interface of Linux, in any network namespace, with
// memory-mapped packet rings (TPACKET_V3, Documentation/networking/packet_mmap.rst of the kernel).
//
// [Open] gives one or more rings on an interface. With several, the kernel spreads the packets over
// them by a hash of the flow that is the same in both directions, so that a flow stays in one ring.
// Nothing that the filter refuses ever reaches a ring: a socket is bound behind a filter that refuses
// all, and the real filter takes its place in one step.
//
// Each [Ring] belongs to one goroutine, which calls Read and, when it is done, Close. Wake and Stats
// may be called from any goroutine, also after Close. The packets of a Read lie in the ring itself and
// are valid until the next Read or Close. The kernel keeps the namespace of a ring alive, so a ring
// looks now and then whether the path that it was opened by still leads there, and says
// [capture.ErrGone] when it does not.
//
// What a ring counts is what the kernel counts: Received is every packet that passed the filter,
// Dropped those of them that did not fit the ring. What was in the ring and unread at Close
// is dropped too, so that Received minus Dropped is always what Read has given, to the packet.
// [Ring.Stop] ends a capture without that loss: Read gives what is left and then io.EOF.
package afpacket
