// Package filter compiles tcpdump expressions into programs for the kernel's packet filter.
package filter
