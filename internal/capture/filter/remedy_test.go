package filter

import (
	"testing"

	"github.com/weft-net/weft/flow"
)

// An error has the place, the expression, and the word that was probably meant or where the words are listed.
func TestErrorsNameARemedy(t *testing.T) {
	for expression, want := range map[string]string{
		"tcp prot 80":   `filter: at byte 4 of "tcp prot 80": "prot": and, or, or the end was expected: did you mean port?`,
		"tcp fooled 80": `filter: at byte 4 of "tcp fooled 80": "fooled": and, or, or the end was expected: see pcap-filter(7)`,
		"hots 10.0.0.1": `filter: at byte 0 of "hots 10.0.0.1": "hots" is not understood; names of hosts are not looked up: did you mean host?`,
		"example.org":   `filter: at byte 0 of "example.org": "example.org" is not understood; names of hosts are not looked up: see pcap-filter(7)`,
		"tcp port and":  `filter: at byte 9 of "tcp port and": "and" is not a port: write a number`,
		"tcp and":       `filter: at byte 7 of "tcp and": the expression ends too early: see pcap-filter(7)`,
	} {
		if _, err := Compile(expression, flow.LinkEthernet, 0); err == nil || err.Error() != want {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
