package bus

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTokenOfAnyNameIsOneSafeToken(t *testing.T) {
	for name, want := range map[string]string{
		"h1":            "h1",
		"web-01_a":      "web-01_a",
		"h1.example.":   "h1=2Eexample=2E",
		"":              "=",
		"=":             "=3D",
		"a b*>":         "a=20b=2A=3E",
		"analyzer:h1":   "analyzer=3Ah1",
		"Ärger":         "=C3=84rger",
		"\x00\n":        "=00=0A",
		"weft.graph.>":  "weft=2Egraph=2E=3E",
		"fe80::1%eth0]": "fe80=3A=3A1=25eth0=5D",
	} {
		if got := Token(name); got != want {
			t.Errorf("Token(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestTokenIsReversible(t *testing.T) {
	safe := regexp.MustCompile(`^[-_=a-zA-Z0-9]+$`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		token := Token(name)
		if !safe.MatchString(token) {
			t.Fatalf("Token(%q) = %q is not safe", name, token)
		}
		if back, ok := Untoken(token); !ok || back != name {
			t.Fatalf("Untoken(Token(%q)) = %q, %v", name, back, ok)
		}
	})
}

func TestUntokenRefusesWhatNoNameEncodesTo(t *testing.T) {
	for _, token := range []string{"", "a.b", "=2", "=zz", "=2e", "=41", "a=", "a b"} {
		if name, ok := Untoken(token); ok {
			t.Errorf("Untoken(%q) = %q", token, name)
		}
	}
}

func TestMemberOfOrigin(t *testing.T) {
	for origin, want := range map[string]string{
		"linux@h1":               "h1",
		"client.me@home@h1":      "h1",
		"api@analyzer:h1":        "analyzer:h1",
		"nobody":                 "",
		OriginName("x", "h.2"):   "h.2",
		OriginName("a@b", "h.2"): "h.2",
	} {
		if got := MemberOf(origin); got != want {
			t.Errorf("MemberOf(%q) = %q, want %q", origin, got, want)
		}
	}
	if HostOf(AnalyzerMember("h1")) != "h1" || HostOf("h1") != "h1" {
		t.Error("an analyzer and an agent of a host have the same host")
	}
}

func TestHostNamesThatWouldPretend(t *testing.T) {
	for _, host := range []string{"", "a@b", "analyzer:h1"} {
		if CheckHost(host) == nil {
			t.Errorf("host name %q is accepted", host)
		}
	}
	if err := CheckHost("h1.example.org"); err != nil {
		t.Error(err)
	}
}

func TestHostNamesAreBounded(t *testing.T) {
	if err := CheckHost(strings.Repeat("h", 255)); err != nil {
		t.Error(err)
	}
	if err := CheckHost(strings.Repeat("h", 256)); err == nil || !strings.Contains(err.Error(), "--host") {
		t.Errorf("a name of 256 bytes: %v", err)
	}
}
