package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// token is a word or a sign of an expression. The last one is empty.
type token struct {
	text string
	at   int
}

// scan splits an expression. Within brackets a colon is a sign: ip[0:4], but fe80::1.
func scan(expression string) ([]token, error) {
	var tokens []token
	depth := 0
	for at := 0; at < len(expression); {
		c := expression[at]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			at++
			continue
		case inWord(c) && (c != ':' || depth == 0):
			end := at
			for end < len(expression) && inWord(expression[end]) && (expression[end] != ':' || depth == 0) {
				end++
			}
			tokens = append(tokens, token{expression[at:end], at})
			at = end
			continue
		}
		sign := expression[at : at+1]
		for _, double := range []string{"&&", "||", "!=", "==", "<=", ">=", "<<", ">>"} {
			if strings.HasPrefix(expression[at:], double) {
				sign = double
			}
		}
		if !strings.Contains("( ) [ ] : ! && || & | = == != < > <= >=", sign) {
			return nil, &SyntaxError{expression, at, fmt.Sprintf("%q is not understood", sign)}
		}
		switch sign {
		case "[":
			depth++
		case "]":
			depth--
		}
		tokens = append(tokens, token{sign, at})
		at += len(sign)
	}
	return append(tokens, token{"", len(expression)}), nil
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-:/\\", c) >= 0
}

// number reads a number as tcpdump does: decimal, 0x for hexadecimal, 0 for octal.
func number(text string) (uint32, bool) {
	if strings.ContainsAny(text, "_bBoO") && !strings.HasPrefix(text, "0x") && !strings.HasPrefix(text, "0X") || strings.Contains(text, "_") {
		return 0, false // what Go knows besides
	}
	value, err := strconv.ParseUint(text, 0, 32)
	return uint32(value), err == nil
}

// constants are the names of offsets and values in brackets and after them.
func constant(name string) (uint32, bool) {
	switch name {
	case "tcpflags":
		return 13, true
	case "icmptype", "icmp6type", "icmp-echoreply":
		return 0, true
	case "icmpcode", "icmp6code", "tcp-fin":
		return 1, true
	case "tcp-syn":
		return 2, true
	case "icmp-unreach":
		return 3, true
	case "tcp-rst":
		return 4, true
	case "icmp-redirect":
		return 5, true
	case "icmp-echo", "tcp-push":
		return 8, true
	case "icmp-timxceed":
		return 11, true
	case "tcp-ack":
		return 16, true
	case "tcp-urg":
		return 32, true
	case "icmp6-echo":
		return 128, true
	case "icmp6-echoreply":
		return 129, true
	case "icmp6-neighborsolicit":
		return 135, true
	case "icmp6-neighboradvert":
		return 136, true
	}
	return number(name)
}

// service is the port of a name. The file of the host is not read: an expression means the same everywhere.
func service(name string) (uint32, bool) {
	switch name {
	case "ftp-data":
		return 20, true
	case "ftp":
		return 21, true
	case "ssh":
		return 22, true
	case "telnet":
		return 23, true
	case "smtp":
		return 25, true
	case "domain":
		return 53, true
	case "bootps":
		return 67, true
	case "bootpc":
		return 68, true
	case "tftp":
		return 69, true
	case "http":
		return 80, true
	case "ntp":
		return 123, true
	case "snmp":
		return 161, true
	case "bgp":
		return 179, true
	case "https":
		return 443, true
	case "syslog":
		return 514, true
	}
	value, ok := number(name)
	return value, ok && value <= 0xffff
}

// protocolNumber is the number of a protocol above IP.
func protocolNumber(name string) (uint32, bool) {
	switch strings.TrimPrefix(name, `\`) {
	case "icmp":
		return 1, true
	case "igmp":
		return 2, true
	case "tcp":
		return 6, true
	case "igrp":
		return 9, true
	case "udp":
		return 17, true
	case "esp":
		return 50, true
	case "ah":
		return 51, true
	case "icmp6":
		return 58, true
	case "pim":
		return 103, true
	case "vrrp", "carp":
		return 112, true
	case "sctp":
		return 132, true
	}
	return 0, false
}

// etherType is the number of a protocol above Ethernet.
func etherType(name string) (uint32, bool) {
	switch strings.TrimPrefix(name, `\`) {
	case "ip":
		return etherIPv4, true
	case "ip6":
		return etherIPv6, true
	case "arp":
		return etherARP, true
	case "rarp":
		return etherRARP, true
	}
	return 0, false
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherRARP = 0x8035
	etherIPv6 = 0x86dd
)
