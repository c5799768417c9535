// Package sockets is the probe of the host's TCP and UDP sockets: which process holds which
// socket, in every network namespace, so that a flow can name its program.
//
// It puts a layer on the host's node with the key Sockets: a list of objects with the keys of
// Skydive (Process, Pid, Name, LocalAddress, LocalPort, RemoteAddress, RemotePort, Protocol,
// State), and NetNS, the inode of the network namespace, where that is not the host's own.
// Protocol is TCP or UDP, as in a flow's Transport.Protocol; addresses are plain IPv4 where a
// socket of IPv6 speaks to one.
//
// # How it works
//
// The kernel tells of sockets that end, never of those that begin, so this probe polls: at each reading
// a thread enters each namespace, asks for its sockets through netlink (sock_diag(7),
// inet_diag) and comes back. No descriptor of a namespace is kept between readings, so none
// is pinned. A socket that lives shorter than the interval may never be seen.
//
// Sockets are matched to processes by inode: /proc/PID/fd is looked through only when there
// are inodes that were not looked for before, only until all are found, and never for more
// than about a fiftieth of the time. What is found stays found while the process lives.
//
// The list is said only when it has changed. It shows at most Settings.Sockets.Limit sockets,
// those that listen first and then the newest; SocketsCount has the true number when some are
// left out. Connections that no process holds any more (TIME_WAIT) and those that none holds
// yet (SYN_RECV) are not sockets of a process and are not listed.
//
// # Goroutines
//
// [Probe.Run]'s goroutine owns all state and makes every call of the Sink. The visits are made
// by a goroutine of each reading's own, which Run waits for. A Probe may not be run twice.
//
// # Without root
//
// Other namespaces cannot be entered and other users' descriptors not be read: the probe shows
// its own namespace's sockets, with a process where it may know it, and logs once what it lacks.
package sockets
