package flow

import (
	"fmt"
	"strconv"
	"strings"
)

// Applications names flows by their ports, as Skydive's setting flow.application_ports does. It never changes, and may
// be used from any goroutine; nil names nothing.
type Applications struct {
	names map[applicationPort]string
}

type applicationPort struct {
	protocol Protocol
	port     uint16
}

// NewApplications reads names of ports, each written as PROTOCOL:PORT:NAME, such as TCP:443:HTTPS. The protocol is TCP, UDP
// or SCTP; names become capitals, as in Skydive. Without entries it names nothing. Of two names for a port the later counts.
func NewApplications(entries []string) (*Applications, error) {
	a := &Applications{names: make(map[applicationPort]string, len(entries))}
	for _, entry := range entries {
		protocol, port, name, err := parseApplicationPort(entry)
		if err != nil {
			return nil, err
		}
		a.names[applicationPort{protocol, port}] = name
	}
	return a, nil
}

func parseApplicationPort(entry string) (protocol Protocol, port uint16, name string, err error) {
	word, rest, _ := strings.Cut(entry, ":")
	number, name, _ := strings.Cut(rest, ":")
	switch strings.ToUpper(strings.TrimSpace(word)) {
	case "TCP":
		protocol = TCP
	case "UDP":
		protocol = UDP
	case "SCTP":
		protocol = SCTP
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 16)
	name = strings.ToUpper(strings.TrimSpace(name))
	if protocol == 0 || err != nil || n == 0 || name == "" {
		return 0, 0, "", fmt.Errorf("application port %q: write PROTOCOL:PORT:NAME, such as TCP:443:HTTPS, with TCP, UDP or SCTP", entry)
	}
	return protocol, uint16(n), name, nil
}

// Name gives the application of a flow by its two ports: that of A's port, else that of B's, as Skydive looks them up.
func (a *Applications) Name(protocol Protocol, portA, portB uint16) (string, bool) {
	if a == nil || len(a.names) == 0 {
		return "", false
	}
	if name, ok := a.names[applicationPort{protocol, portA}]; ok {
		return name, true
	}
	name, ok := a.names[applicationPort{protocol, portB}]
	return name, ok
}
