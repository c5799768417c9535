package client_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// sink accepts a WebSocket and throws away what comes, with as little work as there can be. It counts the reads.
func sink(b *testing.B, reads, bytes *atomic.Int64) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s: 1\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]), skydive.HeaderWeftVersion)
		buf := make([]byte, 256<<10)
		for {
			n, err := conn.Read(buf)
			reads.Add(1)
			bytes.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

func benchElement() *skydive.Node {
	return &skydive.Node{
		ID: "0a4b1a5e-2f6c-4b2b-7a53-7bd0d2ac2a5e", Host: "host-a",
		Metadata: skydive.Metadata{
			"Name": "eth0", "Type": "device", "MAC": "52:54:00:12:34:56", "MTU": int64(1500), "State": "UP",
			"IfIndex": int64(2), "IPV4": []string{"10.0.0.1/24"}, "Driver": "virtio_net", "EncapType": "ether",
			"TID": "c5f4f9e5-5d6c-5b7b-9d5a-6c0f1a2b3c4d",
		},
	}
}

// One publisher, elements of 10 keys, into a socket that is only emptied.
func BenchmarkPublish(b *testing.B) {
	for _, protocol := range []string{skydive.ProtocolJSON, skydive.ProtocolProtobuf} {
		b.Run(protocol, func(b *testing.B) {
			var reads, bytes atomic.Int64
			c, err := client.New(client.Config{Address: sink(b, &reads, &bytes)})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithCancelCause(context.Background())
			p, err := c.Publish(ctx, client.PublishOptions{Protocol: protocol})
			if err != nil {
				b.Fatal(err)
			}
			n := benchElement()
			b.ReportAllocs()
			for b.Loop() {
				if err := p.NodeAdded(ctx, n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(b.N)/float64(reads.Load()), "msg/read")
			b.SetBytes(bytes.Load() / int64(b.N))
			cancel(io.EOF)
			<-p.Done()
		})
	}
}

// The same without gathering: a system call for each message.
func BenchmarkPublishOneByOne(b *testing.B) {
	var reads, bytes atomic.Int64
	conn, _, err := websocket.Dial(context.Background(), "ws://"+sink(b, &reads, &bytes), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	n := benchElement()
	var frame []byte
	b.ReportAllocs()
	for b.Loop() {
		frame, _ = skydive.AppendEnvelope(frame[:0], skydive.NamespaceGraph, skydive.MsgNodeAdded, "5b3b4f0c-5e0a-4f1e-8a55-0d6c4f2c9b11", 200)
		frame, _ = n.AppendJSON(frame)
		if err := conn.Write(context.Background(), websocket.MessageText, append(frame, '}')); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
