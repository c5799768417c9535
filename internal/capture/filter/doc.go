// Package filter compiles tcpdump expressions (pcap-filter(7)) into programs for the packet filter of the
// kernel, without libpcap.
//
// The expression is parsed here, strictly: a word that is not understood is a [*SyntaxError] with its
// position, never a filter that means something else. The primitives for hosts, IPv4 networks, ports and
// Ethernet addresses are compiled by packetcap/go-pcap, as far as it was found to agree with tcpdump; the
// structure around them, which go-pcap gets wrong, and the other primitives are compiled here.
// Not understood are names of hosts, arithmetic other than a mask, and the words for link types that Linux
// interfaces do not have.
//
// Where VLAN tags are is the one thing in which the kernel differs from a file: it takes the outer tag off
// before the filter runs. [Program.Raw] looks for the tag in both places, [Program.Match] in the packet.
// Without the word vlan, "ip" passes tagged packets in the kernel and refuses them in a file, as tcpdump does.
// What follows "vlan and" is looked for behind the tag.
//
// A [Program] does not change; any goroutine may use it, for as long as it likes.
package filter
