package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/gremlin"
	"github.com/weft-net/weft/internal/api/apitest"
)

func TestTermsAsGremlinAndOnFlows(t *testing.T) {
	known := newFlowNames()
	f := apitest.Flow("0000000000000001", "c1") // 10.0.0.1:40000 → 10.0.0.2:443, 600 and 4000 bytes
	for _, c := range []struct {
		term, gremlin string
		match         bool
	}{
		{"ip=10.0.0.2", `.HasEither('Network.A', '10.0.0.2', 'Network.B', '10.0.0.2')`, true},
		{"ip=10.0.0.3", `.HasEither('Network.A', '10.0.0.3', 'Network.B', '10.0.0.3')`, false},
		{"ip!=10.0.0.2", `.Has('Network.A', NEE('10.0.0.2'), 'Network.B', NEE('10.0.0.2'))`, false},
		{"ip!=10.0.0.3", `.Has('Network.A', NEE('10.0.0.3'), 'Network.B', NEE('10.0.0.3'))`, true},
		{"port=443", `.HasEither('Transport.A', 443, 'Transport.B', 443)`, true},
		{"port<443", `.HasEither('Transport.A', LT(443), 'Transport.B', LT(443))`, false},
		{"Transport.A>=40000", `.Has('Transport.A', GTE(40000))`, true},
		{"bytes>3999", `.HasEither('Metric.ABBytes', GT(3999), 'Metric.BABytes', GT(3999))`, true},
		{"Metric.ABBytes<=599", `.Has('Metric.ABBytes', LTE(599))`, false},
		{"app=TCP", `.Has('Application', 'TCP')`, true},
		{"app~T.P", `.Has('Application', REGEX('T.P'))`, true},
		{"app~T", `.Has('Application', REGEX('T'))`, false},
		{"capture=c1", `.Has('CaptureID', 'c1')`, true},
		{"UUID=0000000000000001", `.Has('UUID', '0000000000000001')`, true}, // not the number 1
		{"uuid=0000000000000001", `.Has('UUID', '0000000000000001')`, true},
		{"Application=7", `.Has('Application', '7')`, false}, // a text, whatever it looks like
		{"ip=10.0.0.0/24", `.HasEither('Network.A', IPV4RANGE('10.0.0.0/24'), 'Network.B', IPV4RANGE('10.0.0.0/24'))`, true},
		{"ip=10.0.0.9/24", `.HasEither('Network.A', IPV4RANGE('10.0.0.0/24'), 'Network.B', IPV4RANGE('10.0.0.0/24'))`, true},
		{"ip=10.0.1.0/24", `.HasEither('Network.A', IPV4RANGE('10.0.1.0/24'), 'Network.B', IPV4RANGE('10.0.1.0/24'))`, false},
		{"Network.B=10.0.0.2/32", `.Has('Network.B', IPV4RANGE('10.0.0.2/32'))`, true},
		{"ip=fe80::/10", `.HasEither('Network.A', IPV6RANGE('fe80::/10'), 'Network.B', IPV6RANGE('fe80::/10'))`, false},
		{"ip=FE80:0::1", `.HasEither('Network.A', 'fe80::1', 'Network.B', 'fe80::1')`, false},
		{"mac=02:00:00:00:00:01", `.HasEither('Link.A', '02:00:00:00:00:01', 'Link.B', '02:00:00:00:00:01')`, true},
		{"mac=02-00-00-00-00-01", `.HasEither('Link.A', '02:00:00:00:00:01', 'Link.B', '02:00:00:00:00:01')`, true},
		{"TCPMetric.ABSynTTL=64", `.Has('TCPMetric.ABSynTTL', 64)`, true},
		{"DNS.QR=true", `.Has('DNS.QR', true)`, false},
		{"DNS.questions.name=example.org", `.Has('DNS.questions.name', 'example.org')`, false},
	} {
		parsed, err := parseTerm(known, c.term)
		if err != nil {
			t.Errorf("%s: %v", c.term, err)
			continue
		}
		if got := parsed.gremlin(); got != c.gremlin {
			t.Errorf("%s is %s, want %s", c.term, got, c.gremlin)
		}
		if _, err := gremlin.Parse("G.Flows()" + parsed.gremlin()); err != nil {
			t.Errorf("%s: %v", c.term, err)
		}
		if got := matchAll([]flowTerm{parsed}, f); got != c.match {
			t.Errorf("%s on the flow: %v", c.term, got)
		}
	}
}

func TestTermsThatAreNone(t *testing.T) {
	known := newFlowNames()
	for arg, want := range map[string]string{
		"prot=80":          `"prot=80": there is no field prot: did you mean port?`,
		"metric.abbytes>1": "there is no field metric.abbytes: did you mean Metric.ABBytes?",
		"nosuch=1":         "there is no field nosuch: write ip, port, mac, app, capture, node, uuid, bytes, packets or a field that 'weft flows --help' lists",
		"port=http":        `"port=http": port is a whole number: write it as such, as in port=443`,
		"port=99999":       "ports are numbers from 0 to 65535",
		"FinishType=FIN":   "FinishType is a whole number",
		"port~44.*":        "~ is for texts, and port is a number",
		"app>5":            "> compares numbers, and app is none: write = != or ~",
		"Metric=5":         "Metric is a part of a flow: write one of its fields, such as Metric.ABPackets",
		"DNS.questions=x":  "DNS.questions is a list",
		"DNS.QR=maybe":     "DNS.QR is true or false",
		"ip=router1":       "write an address or a network, such as 10.0.0.1 or 10.0.0.0/8",
		"ip=10.0.0.0/33":   "write an address or a network",
		"ip!=10.0.0.0/8":   "!= is for one address, not for a network",
		"mac=eth0":         "write a MAC address",
		"eth0":             "neither a file nor a term: write KEY=VALUE",
		"=x":               "neither a file nor a term",
		"port=":            "write KEY=VALUE, or one of",
		"a!b":              "write KEY=VALUE, or one of",
		"port>many":        "> compares with a whole number",
		"app~(":            "missing closing )",
		"G.V('a')=b":       "neither a file nor a term",
	} {
		var usage *usageError
		if _, err := parseTerm(known, arg); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", arg, err)
		}
	}
	if _, _, err := parseTerms([]string{".Limit(1)", "port=1"}); err == nil {
		t.Error("a term behind the tail was taken")
	}
	terms, tail, err := parseTerms([]string{"port=1", "app=TCP", ".Sort('Last')", ".Limit(5)"})
	if err != nil || len(terms) != 2 {
		t.Fatal(terms, err)
	}
	got := flowsCommand{terms: terms, tail: tail, limit: 3}.expression()
	if got != "G.Flows().HasEither('Transport.A', 1, 'Transport.B', 1).Has('Application', 'TCP').Sort('Last').Limit(5).Limit(3)" {
		t.Error(got)
	}
}

func TestOneCaptureIsAskedForAtTheServer(t *testing.T) {
	terms, _, _ := parseTerms([]string{"capture=c1", "port=1"})
	if ids := capturesOf(terms); len(ids) != 1 || ids[0] != "c1" {
		t.Error(ids)
	}
	terms, _, _ = parseTerms([]string{"capture!=c1"})
	if ids := capturesOf(terms); ids != nil {
		t.Error(ids)
	}
	if !matchAll(nil, new(flow.Flow)) {
		t.Error("no terms take every flow")
	}
}
