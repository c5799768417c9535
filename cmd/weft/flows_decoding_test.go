package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/weft-net/weft/flow/flowtest"
)

// What flows of files are asked for is what they show.
func TestFlowsFileDecoding(t *testing.T) {
	link, host := flowtest.Ethernet{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"}, flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2"}
	// A DNS message of 50 questions in two fragments.
	message := append([]byte{0x12, 0x67, 1, 0, 0, 50}, make([]byte, 6)...)
	for range 50 {
		message = append(message, "\x07example\x03org\x00\x00\x01\x00\x01"...)
	}
	whole := flowtest.Packet(host, flowtest.UDP{Src: 4000, Dst: 53}, flowtest.Payload(message))[20:]
	part := func(from, to int) []byte {
		return flowtest.Packet(link, flowtest.IPv4{Src: "10.0.0.1", Dst: "10.0.0.2", ID: 5, Protocol: 17, Offset: from, MF: to < len(whole)}, flowtest.Payload(whole[from:to]))
	}
	tcp := func(seq uint32) []byte {
		return flowtest.Packet(link, host, flowtest.TCP{Src: 1000, Dst: 443, Seq: seq, Flags: flowtest.ACK}, flowtest.Zeros(10))
	}
	file := captureFile(t, "a.pcap", part(0, 400), part(400, len(whole)), tcp(1), tcp(11))
	for _, test := range []struct {
		decode flowsDecoding
		words  []string // in the flows then, and not without
	}{
		{flowsDecoding{defragment: true, layers: []string{"dns"}}, []string{`"QDCount":50`, `"name":"example.org"`}},
		{flowsDecoding{reassemble: true}, []string{`"ABPackets":2,"ABBytes":20,"ABSawStart"`}},
		{flowsDecoding{applications: []string{"TCP:443:HTTPS", "UDP:53:NAMES"}}, []string{`"Application":"HTTPS"`, `"Application":"NAMES"`}},
	} {
		plain, _, err := flowsOf(t, nil, flowsFileOptions{format: "json"}, file)
		if err != nil {
			t.Fatal(err)
		}
		out, side, err := flowsOf(t, nil, flowsFileOptions{format: "json", decode: test.decode}, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range test.words {
			if strings.Contains(plain, word) || !strings.Contains(out, word) {
				t.Errorf("%+v: want %s in\n%snot in\n%s", test.decode, word, out, plain)
			}
		}
		if n := strings.Count(out, "example.org"); test.decode.defragment && n != 50 || strings.Contains(side, "not sound") {
			t.Errorf("%+v: %d questions, %s", test.decode, n, side)
		}
	}
	for _, wrong := range []flowsDecoding{{layers: []string{"http"}}, {applications: []string{"443:HTTPS"}}} {
		if _, _, err := flowsOf(t, nil, flowsFileOptions{decode: wrong}, file); !errors.As(err, new(*usageError)) {
			t.Errorf("%+v: %v, want a usage error", wrong, err)
		}
	}
}
