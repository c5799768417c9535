// Package pcapfile reads and writes capture files: pcap (microseconds, nanoseconds, both byte orders) and pcapng
// (several sections and interfaces, any time resolution), plain or compressed with gzip or zstd, from anything that
// reads.
//
// The formats are those of draft-ietf-opsawg-pcap (pcap) and draft-ietf-opsawg-pcapng (pcapng), and the link types
// those of draft-ietf-opsawg-pcaplinktype.
//
// The packets are those of package flow, so that a [flow.Table] takes them as they come; the example shows all of it.
//
// A Reader gives packets in batches, in place: the data of a packet lies in the buffer of its batch and nothing is
// copied but what a buffer cuts in two. [Reader.Next] fills a batch of the caller, so that one goroutine can read
// ahead while another counts; [Reader.Read] keeps one batch of its own. A Reader and a Writer belong to one goroutine
// at a time and start none. Neither closes what it reads from or writes to.
//
// A file that is cut off or corrupted gives all packets before the damage, and then a [DamageError] that says where
// it begins. In pcapng, a block that makes no sense inside sound bounds is skipped, what follows it is read, and the
// error comes at the end.
package pcapfile
