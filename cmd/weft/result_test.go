package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	nodeV0 = `{"ID":"n1","Metadata":{"Name":"v0","Type":"veth","State":"UP","MTU":1500,"IPV4":["10.0.0.1/24","10.0.1.1/24"],"Neighbors":[{"IP":"10.0.0.2"},{"IP":"10.0.0.3"}]},"Host":"h","Origin":"agent.h","CreatedAt":1,"UpdatedAt":2,"DeletedAt":null,"Revision":3}`
	nodeV1 = `{"ID":"n2","Metadata":{"Name":"v1","Type":"veth"},"Host":"h","Origin":"agent.h","CreatedAt":1,"UpdatedAt":2,"DeletedAt":null,"Revision":1}`
	edgeE  = `{"ID":"e1","Metadata":{"RelationType":"layer2"},"Host":"h","Origin":"agent.h","CreatedAt":1,"UpdatedAt":2,"DeletedAt":null,"Revision":1,"Parent":"n1","Child":"n2"}`
)

// Every shape that a query answers is shown as what it is.
func TestPrintResult(t *testing.T) {
	for _, c := range []struct {
		name, json string
		columns    []string
		want, side string
	}{
		{name: "nodes", json: "[" + nodeV0 + "," + nodeV1 + "]", want: `ID  Name  Type  Host  State
n1  v0    veth  h     UP
n2  v1    veth  h     -
`},
		{name: "a column that nobody has is left out", json: "[" + nodeV1 + "]", want: `ID  Name  Type  Host
n2  v1    veth  h
`},
		{
			name: "chosen columns", json: "[" + nodeV0 + "," + nodeV1 + "]",
			columns: []string{"Name", "MTU", "IPV4", "Neighbors.IP", "@Revision", "Metadata.Type", "Nothing"},
			want: `Name  MTU   IPV4                     Neighbors.IP       @Revision  Metadata.Type  Nothing
v0    1500  10.0.0.1/24,10.0.1.1/24  10.0.0.2,10.0.0.3  3          veth           -
v1    -     -                        -                  1          veth           -
`,
		},
		{name: "the whole metadata", json: `[{"ID":"a","Metadata":{"Name":"x"}}]`, columns: []string{"ID", "Metadata"}, want: `ID  Metadata
a   {"Name":"x"}
`},
		{name: "edges", json: "[" + edgeE + "]", want: `ID  RelationType  Parent  Child  Host
e1  layer2        n1      n2     h
`},
		{name: "a graph", json: `[{"Nodes":[` + nodeV1 + `],"Edges":[` + edgeE + `]}]`, columns: []string{"Name"}, want: `Name
v1

ID  RelationType  Parent  Child  Host
e1  layer2        n1      n2     h
`},
		{name: "an empty graph", json: `[{"Nodes":null,"Edges":null}]`, side: "nothing found\n"},
		{name: "no nodes", json: `[]`, side: "nothing found\n"},
		{name: "no values", json: `null`, side: "nothing found\n"},
		{name: "a path", json: `[[` + nodeV0 + `,` + nodeV1 + `],[` + nodeV1 + `]]`, columns: []string{"Name"}, want: "Name\nv0\nv1\n\nName\nv1\n"},
		{name: "a count", json: "42\n", want: "42\n"},
		{name: "values", json: `["v0","v1",3,null,true,{"a":1}]`, want: "v0\nv1\n3\n\ntrue\n{\"a\":1}\n"},
		{name: "value maps", json: `[{"Name":"a","MTU":1},{"Name":"b","Z":[1,2]},{"A":{"x":1}}]`, want: `Name  MTU  A        Z
a     1    -        -
b     -    -        1,2
-     -    {"x":1}  -
`},
		{name: "metrics", json: `[{"n1":[{"RxBytes":1,"Start":2},{"RxBytes":3,"Start":4}]},{"n2":[{"RxBytes":5,"Start":6}]}]`, want: `Element  RxBytes  Start
n1       1        2
n1       3        4
n2       5        6
`},
		{
			name: "flows",
			json: `[{"UUID":"f1","LayersPath":"Ethernet/IPv4/TCP","Application":"TCP","Link":{"A":"m1","B":"m2"},"Network":{"A":"10.0.0.1","B":"10.0.0.2"},` +
				`"Transport":{"A":40000,"B":443},"Metric":{"ABPackets":1,"ABBytes":2,"BAPackets":3,"BABytes":4,"RTT":5},"TrackingID":"t"}]`,
			want: `UUID  Application  Network.A  Transport.A  Network.B  Transport.B  Metric.ABPackets  Metric.ABBytes  Metric.BAPackets  Metric.BABytes  Metric.RTT
f1    TCP          10.0.0.1   40000        10.0.0.2   443          1                 2               3                 4               5
`,
		},
		{
			name: "flows without a network layer", json: `[{"UUID":"f1","LayersPath":"Ethernet/ARP","Application":"ARP","Link":{"A":"m1","B":"m2"},"Metric":{"ABPackets":1},"TrackingID":"t"}]`,
			want: `UUID  Application  Link.A  Link.B  Metric.ABPackets  Metric.ABBytes  Metric.BAPackets  Metric.BABytes  Metric.RTT
f1    ARP          m1      m2      1                 -               -                 -               -
`,
		},
		{name: "chosen fields of flows", json: `[{"UUID":"f1","LayersPath":"Ethernet/ARP","Metric":{"ABPackets":1},"TrackingID":"t"}]`, columns: []string{"LayersPath", "Metric.ABPackets"}, want: `LayersPath    Metric.ABPackets
Ethernet/ARP  1
`},
		{name: "next hop", json: `[{"n1":{"Priority":0,"IP":"10.0.0.2"}}]`, want: `Element  Priority  IP
n1       0         10.0.0.2
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, side strings.Builder
			sh := &shell{out: &out, err: &side}
			if err := (resultPrinter{sh: sh, columns: c.columns}).print([]byte(c.json)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Errorf("standard output (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.side, side.String()); diff != "" {
				t.Errorf("standard error (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzPrintResult(f *testing.F) {
	for _, seed := range []string{"[" + nodeV0 + "]", "[[" + edgeE + "]]", `[{"Nodes":1,"Edges":[]}]`, `[{"a":[{"b":1}]}]`, "[1,", `{"ID":1,"Metadata":2}`, `"\ud800"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out, side strings.Builder
		sh := &shell{out: &out, err: &side}
		_ = (resultPrinter{sh: sh}).print([]byte(text))
		if strings.ContainsAny(out.String(), "\x1b\x00\x07") {
			t.Errorf("a control character reached the terminal: %q", out.String())
		}
	})
}
