// Package linux is the probe of the Linux kernel: the host, its network namespaces, their
// links and the edges between them, with the metadata keys of Skydive.
//
// # How it works
//
// One rtnetlink socket in the probe's own namespace listens to every namespace at once
// (NETLINK_LISTEN_ALL_NSID): the probe gives each namespace that it finds an id in its own
// namespace, and the kernel then delivers that namespace's events with the id beside them.
// So the probe holds no descriptor of any namespace, pins none, and hears from the kernel
// when one has gone, whatever kept it alive until then.
//
// Namespaces are found through inotify (named ones), the kernel's process connector
// (those of processes) and a slow scan of /proc as a net below both. A new one is read
// once, by a thread of a small pool that enters it, dumps what is there and comes back;
// from then on only events are read. When the kernel says that events were lost
// (ENOBUFS), every namespace is read again and compared with what was said before.
//
// # Goroutines
//
// One goroutine, [Probe.Run]'s, owns all state and makes every call of the Sink. Readers
// (events, inotify, processes) and the pool's threads send it functions to run. All of
// them end before Run returns. A Probe may not be run twice.
//
// # What is coalesced
//
// A change waits 2 ms for others, and all that came is one Commit. Under load the wait
// grows to five times what the last Commit took, at most 100 ms.
//
// The lists of a link (Neighbors, FDB, RoutingTables) are said at once when they change,
// and then at most four times a second. A neighbour that goes between REACHABLE, STALE,
// DELAY and PROBE has not changed: its new state is said along with the next real change
// of that link or at the next reading of the counters. INCOMPLETE and FAILED are likewise
// one. Neighbours without resolution (NOARP, NONE) are left out, as ip(8) does.
//
// The kernel does not say every change of a routing table (routes go silently with a link
// or an address), so any hint makes the probe read that namespace's tables again, at most
// a tenth of the time: small tables follow within milliseconds, 100,000 routes within
// about two seconds. Of each table a link shows the first Settings.RouteLimit routes in
// the order of prefixes, with Count as the true number; of neighbours and FDB entries
// Settings.NeighbourLimit, with NeighborsCount and FDBCount.
//
// # Without root
//
// Other namespaces cannot be entered: the probe shows its own, logs once what it lacks, and
// says so in the host's metadata (NamespacesSeen = "own", otherwise "all").
package linux
