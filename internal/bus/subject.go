package bus

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	graphPrefix   = "weft.graph."
	beatPrefix    = "weft.heartbeat."
	agentPrefix   = "weft.agent."
	inboxPrefix   = "_INBOX."
	analyzerKind  = "analyzer:"
	originDivider = "@"
	maxHost       = 255 // bytes, as in DNS
)

// Token encodes any name as one NATS token: letters, digits, '-' and '_' stand for
// themselves, every other byte is "=" and two hexadecimal digits. The empty name is "=".
func Token(name string) string {
	if name == "" {
		return "="
	}
	const digits = "0123456789ABCDEF"
	plain := true
	for i := range len(name) {
		plain = plain && plainByte(name[i])
	}
	if plain {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// AnalyzerMember is the name on the bus of the analyzer that runs on the host.
func AnalyzerMember(host string) string { return analyzerKind + host }

// IsAnalyzer says whether the member is an analyzer.
func IsAnalyzer(member string) bool { return strings.HasPrefix(member, analyzerKind) }

// HostOf is the name of the host on which the member runs.
func HostOf(member string) string { return strings.TrimPrefix(member, analyzerKind) }

// CheckHost says why a host name cannot be used on the bus.
func CheckHost(host string) error {
	switch {
	case host == "":
		return fmt.Errorf("empty host name: name this host with --host")
	case len(host) > maxHost:
		return fmt.Errorf("host name of %d bytes: a name has at most %d: choose another with --host", len(host), maxHost)
	case strings.Contains(host, originDivider) || strings.HasPrefix(host, analyzerKind):
		return fmt.Errorf("host name %q: a name has no %q and does not begin with %q: choose another with --host", host, originDivider, analyzerKind)
	}
	return nil
}

// OriginName is the full name of a member's origin.
func OriginName(name, member string) string { return name + originDivider + member }

// MemberOf is the member that an origin belongs to; "" when its name tells none.
func MemberOf(origin string) string {
	if i := strings.LastIndex(origin, originDivider); i >= 0 {
		return origin[i+1:]
	}
	return ""
}

// GraphSubject is where the member's batches go.
func GraphSubject(member string) string { return graphPrefix + Token(member) }

// BeatSubject is where the member's heartbeats go.
func BeatSubject(member string) string { return beatPrefix + Token(member) }

// RequestSubject is where requests of that verb to the member go.
func RequestSubject(member, verb string) string { return agentPrefix + Token(member) + "." + verb }

func inboxOf(member string) string { return inboxPrefix + Token(member) }

// Untoken is the inverse of Token; false when no name encodes to the token.
func Untoken(token string) (name string, ok bool) {
	if token == "=" {
		return "", true
	}
	if token == "" {
		return "", false
	}
	if strings.IndexByte(token, '=') < 0 {
		return token, Token(token) == token
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' {
			if i+2 >= len(token) {
				return "", false
			}
			n, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c, i = byte(n), i+2
		}
		b.WriteByte(c)
	}
	name = b.String()
	return name, Token(name) == token
}
