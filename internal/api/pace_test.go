package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weft-net/weft/internal/api"
	"github.com/weft-net/weft/internal/api/apitest"
)

// slowClient says that it has much to send, and sends a byte of it now and then, until the test or the server ends it.
func slowClient(t *testing.T, s *apitest.Server, path string, every time.Duration) *bufio.Reader {
	t.Helper()
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); conn.Close(); <-done })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", path, at.Host)
	if path == "/api/pcap" {
		_, _ = conn.Write(pcapOf(t)) // a file that begins well
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if _, err := conn.Write([]byte{' '}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return bufio.NewReader(conn)
}

// Whoever sends next to nothing is sent away with a reason, and not after each byte anew.
func TestBodiesHaveToCome(t *testing.T) {
	s, _ := withFlows(t, func(d *api.Deps) { d.Limits.BodyGrace = 300 * time.Millisecond })
	for _, path := range []string{"/api/pcap", "/api/topology", "/api/noderule"} {
		t.Run(path, func(t *testing.T) {
			res, err := http.ReadResponse(slowClient(t, s, path, 50*time.Millisecond), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			if res.StatusCode != 408 || !res.Close || !strings.Contains(string(text), "at least 16384 bytes/s have to come after the first 300ms") {
				t.Errorf("%d, close %v: %s", res.StatusCode, res.Close, text)
			}
		})
	}
}

// What comes fast enough may take longer than the grace, with a pause in it.
func TestBodiesMayPause(t *testing.T) {
	s, hub := withFlows(t, func(d *api.Deps) { d.Limits.BodyGrace, d.Limits.BodyRate = 150*time.Millisecond, 1<<10 })
	var packets [][]byte
	for i := range 100 {
		packets = append(packets, udp(byte(i), 1))
	}
	file := pcapOf(t, packets...)
	reader, writer := io.Pipe()
	go func() {
		defer writer.Close()
		_, _ = writer.Write(file[:1000])
		<-time.After(500 * time.Millisecond) // 1000 bytes are good for a second
		_, _ = writer.Write(file[1000:])
	}()
	res, err := http.Post(s.URL+"/api/pcap", "application/octet-stream", reader)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != 202 || len(hub.Imported()) == 0 {
		t.Errorf("%d: %s", res.StatusCode, text)
	}
}

// However many clients send next to nothing: they take no turns from those who send.
func TestSlowPcapsBlockNobody(t *testing.T) {
	s, hub := withFlows(t)
	for range 8 {
		slowClient(t, s, "/api/pcap", 9*time.Second)
	}
	expect(t, s, 202, "POST", "/api/pcap", string(pcapOf(t, udp(1, 1), udp(2, 1))))
	if len(hub.Imported()) == 0 {
		t.Error("no flows")
	}
}

// Packets that are in no flow are told of.
func TestPcapSaysWhatItDropped(t *testing.T) {
	s, _ := withFlows(t)
	file := pcapOf(t, udp(1, 1), udp(2, 1))
	file[20], file[21] = 9999&255, 9999>>8 // the link type, in the header of a file
	res, text := call(t, s, "POST", "/api/pcap", string(file))
	want := "2 of 2 packets are in no flow: decoder|2 packets have the link type 9999, which is not decoded"
	if got := strings.Join(res.Header.Values("X-Weft-Warning"), "|"); res.StatusCode != 202 || got != want {
		t.Errorf("%d %s: warned %q", res.StatusCode, text, got)
	}
	if res, _ := call(t, s, "POST", "/api/pcap", string(pcapOf(t, udp(1, 1)))); len(res.Header.Values("X-Weft-Warning")) > 0 {
		t.Errorf("warned %q of a good file", res.Header.Values("X-Weft-Warning"))
	}
	cut := udp(1, 1)[:24] // inside the IP header
	res, _ = call(t, s, "POST", "/api/pcap", string(pcapOf(t, cut)))
	if got := strings.Join(res.Header.Values("X-Weft-Warning"), "|"); !strings.Contains(got, "1 packets were counted, but are not sound: ") {
		t.Errorf("warned %q", got)
	}
}
