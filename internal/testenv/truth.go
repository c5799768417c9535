package testenv

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A Link is what ip(8) says of one link, in the words of the graph's metadata.
type Link struct {
	Name      string
	Type      string
	IfIndex   int
	MTU       int
	MAC       string
	State     string
	Master    string
	Addresses []string // CIDR, sorted
}

// Links asks ip(8) for the links of a namespace, by name ("" is the namespace of the
// test). It is the truth that a probe's graph is compared with.
func Links(t testing.TB, namespace string) []Link {
	t.Helper()
	args := []string{"-j", "-d", "address", "show"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	links, err := parseLinks([]byte(IP(t, args...)))
	if err != nil {
		t.Fatalf("ip -j address: %v", err)
	}
	return links
}

func parseLinks(data []byte) ([]Link, error) {
	var found []struct {
		IfIndex   int
		IfName    string
		MTU       int
		OperState string
		Master    string
		LinkType  string `json:"link_type"`
		Address   string
		LinkInfo  struct {
			Kind string `json:"info_kind"`
		}
		AddrInfo []struct {
			Local     string
			PrefixLen int
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(data, &found); err != nil {
		return nil, err
	}
	links := make([]Link, 0, len(found))
	for _, f := range found {
		link := Link{
			Name: f.IfName, Type: f.LinkInfo.Kind, IfIndex: f.IfIndex, MTU: f.MTU, MAC: f.Address,
			State: f.OperState, Master: f.Master,
		}
		if link.Type == "" {
			link.Type = "device"
		}
		if f.Address == "00:00:00:00:00:00" || f.LinkType == "none" {
			link.MAC = ""
		}
		switch link.State {
		case "LOWERLAYERDOWN":
			link.State = "LOWER-LAYER-DOWN"
		case "NOTPRESENT":
			link.State = "NOT-PRESENT"
		}
		for _, a := range f.AddrInfo {
			link.Addresses = append(link.Addresses, fmt.Sprintf("%s/%d", a.Local, a.PrefixLen))
		}
		slices.Sort(link.Addresses)
		links = append(links, link)
	}
	SortLinks(links)
	return links, nil
}

// SortLinks orders links by index, as [Links] returns them.
func SortLinks(links []Link) {
	slices.SortFunc(links, func(a, b Link) int { return a.IfIndex - b.IfIndex })
}

// DiffLinks says in words how the links that were seen differ from the true ones, and
// returns "" when they do not. Both are as [SortLinks] leaves them.
func DiffLinks(truth, seen []Link) string {
	var diff strings.Builder
	trueOnes, seenOnes := byIndex(truth), byIndex(seen)
	for _, link := range truth {
		got, ok := seenOnes[link.IfIndex]
		switch {
		case !ok:
			fmt.Fprintf(&diff, "not seen: %+v\n", link)
		case fmt.Sprint(got) != fmt.Sprint(link):
			fmt.Fprintf(&diff, "seen as %+v\n     is %+v\n", got, link)
		}
	}
	for _, link := range seen {
		if _, ok := trueOnes[link.IfIndex]; !ok {
			fmt.Fprintf(&diff, "gone, but seen: %+v\n", link)
		}
	}
	return diff.String()
}

func byIndex(links []Link) map[int]Link {
	m := make(map[int]Link, len(links))
	for _, link := range links {
		m[link.IfIndex] = link
	}
	return m
}
