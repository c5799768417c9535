package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
	"github.com/weft-net/weft/skydive"
)

func TestFieldsThatNobodyReadsAreToldOf(t *testing.T) {
	s := apitest.Start(t)
	for _, c := range []struct {
		name, path, body string
		header           []string
		want             []string
	}{
		{"a misspelt filter", "/api/capture", `{"GremlinQuery":"G.V()","BPFilter":"icmp"}`, nil, []string{`unknown field "BPFilter": did you mean "BPFFilter"?`}},
		{"nothing near", "/api/capture", `{"GremlinQuery":"G.V().Has('a','b')","Frequency":{"x":[1]},"nam":"x"}`, nil, []string{`unknown field "Frequency": it is ignored`, `unknown field "nam": did you mean "Name"?`}},
		{"YAML", "/api/capture", "GremlinQuery: G.V().Has('c')\nHeadersize: 3\nHeadSize: 4\n", []string{"Content-Type", "application/yaml"}, []string{`unknown field "HeadSize": did you mean "HeaderSize"?`}},
		{"what an answer had", "/api/capture", `{"GremlinQuery":"G.V().Has('d')","Count":3,"Nodes":[],"Ledger":null,"UUID":""}`, nil, nil},
		{"a node", "/api/node", `{"ID":"n1","Metadata":{"Type":"t","Name":"n"},"Hosts":"h"}`, nil, []string{`unknown field "Hosts": did you mean "Host"?`}},
		{"a rule", "/api/noderule", `{"Action":"update","Query":"G.V()","Metadata":{"a":1},"Quer":"x"}`, nil, []string{`unknown field "Quer": did you mean "Query"?`}},
		{"a query", "/api/topology", `{"GremlinQuery":"G.V()","Explian":true}`, nil, []string{`unknown field "Explian": did you mean "Explain"?`}},
	} {
		res, text := call(t, s, "POST", c.path, c.body, c.header...)
		if res.StatusCode/100 != 2 {
			t.Fatalf("%s: %d %s", c.name, res.StatusCode, text)
		}
		wantWarnings(t, c.name, res, c.want...)
	}
	res, _ := call(t, s, "PATCH", "/api/node/n1", `[{"op":"add","path":"/Metadat","value":{}},{"op":"add","path":"/Metadata/x","value":1}]`)
	wantWarnings(t, "a patch", res, `unknown field "Metadat": did you mean "Metadata"?`)
	many := `{"GremlinQuery":"G.V().Has('e')"`
	for i := range 100 {
		many += `,"field-that-nobody-knows` + strings.Repeat("x", i) + `":1`
	}
	if res, _ = call(t, s, "POST", "/api/capture", many+"}"); len(res.Header.Values(skydive.HeaderWarning)) != 8 {
		t.Errorf("warnings %q", res.Header.Values(skydive.HeaderWarning))
	}
}

func wantWarnings(t *testing.T, name string, res *http.Response, want ...string) {
	t.Helper()
	if got := res.Header.Values(skydive.HeaderWarning); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: warnings %q, want %q", name, got, want)
	}
}

func TestFieldsOfAnotherTypeAreRefusedInWords(t *testing.T) {
	s := apitest.Start(t)
	for _, c := range []struct{ path, body, want string }{
		{"/api/capture", `{"ExtraLayers":["DNS"]}`, "body: ExtraLayers is a list, but takes a whole number: the sum of VRRP 1, DNS 2 and DHCPv4 4"},
		{"/api/capture", `{"GremlinQuery":{}}`, "body: GremlinQuery is an object, but takes a string"},
		{"/api/capture", `{"IPDefrag":"yes"}`, `body: IPDefrag is a string, but takes true or false`},
		{"/api/capture", `{"RawPacketLimit":1.5}`, "body: RawPacketLimit is the number 1.5, but takes a whole number"},
		{"/api/capture", `{"SamplingRate":-1}`, "body: SamplingRate is the number -1, but takes a whole number from 0 to 4294967295"},
		{"/api/capture", `{"HeaderSize":true}`, "body: HeaderSize is true, but takes a whole number"},
		{"/api/capture", `[]`, "body: the body is a list, but takes an object"},
		{"/api/noderule", `{"Metadata":"x"}`, `body: Metadata is a string, but takes an object`},
		{"/api/edgerule", `{"Src":["x"]}`, "body: Src is a list, but takes a string"},
		{"/api/topology", `{"GremlinQuery":5}`, "body: GremlinQuery is a number, but takes a string"},
	} {
		if got := expect(t, s, 400, "POST", c.path, c.body); got != c.want+"\n" {
			t.Errorf("%s %s: got %q, want %q", c.path, c.body, got, c.want)
		}
	}
}

func TestSettingsThatAreNoneAreToldOf(t *testing.T) {
	s := apitest.Start(t, func(d *api.Deps) {
		d.Config = func(key string) (any, bool) {
			if key != "" {
				return nil, false
			}
			return map[string]any{"flow": map[string]any{"update": 1, "expire": 2}, "listen": "x"}, true
		}
	})
	for key, want := range map[string]string{
		"flow.updat": `unknown setting "flow.updat": did you mean "flow.update"?`,
		"etcd.maxa":  `unknown setting "etcd.maxa"`,
	} {
		res, text := call(t, s, "GET", "/api/config/"+key, "")
		if res.StatusCode != 200 || text != `""`+"\n" {
			t.Errorf("%s: %d %s, want what Skydive answers", key, res.StatusCode, text)
		}
		wantWarnings(t, key, res, want)
	}
}
