package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/flow/pcapfile"
	"github.com/weft-net/weft/internal/testenv"
)

// testKey is where Setup keeps the test that runs a script.
type testKey struct{}

// wire NAME: joins two new namespaces by a veth pair whose near end has that name. $NEAR and $FAR are the namespaces,
// $NEAR_END and $FAR_END the queries for the interfaces.
func cmdWire(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: wire NAME")
	}
	t, ok := ts.Value(testKey{}).(testing.TB)
	if !ok {
		ts.Fatalf("the script runs without a test")
	}
	w := testenv.NewWire(t)
	w.Join(args[0])
	ts.Setenv("NEAR", w.Near.Name)
	ts.Setenv("FAR", w.Far.Name)
	ts.Setenv("NEAR_END", fmt.Sprintf("G.V().Has('Name','%s').Out().Has('Name','%s')", w.Near.Name, args[0]))
	ts.Setenv("FAR_END", fmt.Sprintf("G.V().Has('Name','%s').Out().Has('Name','far0')", w.Far.Name))
}

// tracefile FILE [cut BYTES]: writes a capture file of three packets in two flows of UDP, packed as the ending
// of its name says, and without its last bytes when it is to be cut.
func cmdTraceFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && (len(args) != 3 || args[1] != "cut") {
		ts.Fatalf("usage: tracefile FILE [cut BYTES]")
	}
	format := pcapfile.Pcap
	if strings.Contains(args[0], ".pcapng") {
		format = pcapfile.Pcapng
	}
	var plain bytes.Buffer
	w := pcapfile.NewWriter(&plain, format, flow.LinkEthernet)
	for i, data := range conversation() {
		ts.Check(w.Write(flow.LinkEthernet, flow.Packet{Data: data, Length: len(data), Time: at + int64(i)*1e9}))
	}
	ts.Check(w.Flush())
	content := plain.Bytes()
	switch {
	case strings.HasSuffix(args[0], ".gz"):
		var packed bytes.Buffer
		pack := gzip.NewWriter(&packed)
		_, err := pack.Write(content)
		ts.Check(err)
		ts.Check(pack.Close())
		content = packed.Bytes()
	case strings.HasSuffix(args[0], ".zst"):
		content = zstdFrame(content)
	}
	if len(args) == 3 {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		content = content[:len(content)-n]
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

// zstdFrame is a frame of zstd with one block that is not compressed: RFC 8878, section 3.1.1.
func zstdFrame(content []byte) []byte {
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd}, 2<<6|1<<5) // four bytes of size follow, and no window
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(content)))
	block := uint32(len(content))<<3 | 1 // the last one
	return append(append(frame, byte(block), byte(block>>8), byte(block>>16)), content...)
}

// hearer PORT FILE: a server of TCP and of UDP on every address, which sends back each line. It writes the file when
// it listens, and ends with a signal.
func hearer() {
	tcp, err := net.Listen("tcp", ":"+os.Args[1]) //nolint:gosec // in a namespace of the test's own
	orExit(err)
	udp, err := net.ListenPacket("udp4", ":"+os.Args[1])
	orExit(err)
	go func() {
		datagram := make([]byte, 100)
		for {
			n, from, err := udp.ReadFrom(datagram)
			orExit(err)
			_, err = udp.WriteTo(datagram[:n], from)
			orExit(err)
		}
	}()
	orExit(os.WriteFile(os.Args[2], []byte("up\n"), 0o600))
	for {
		conn, err := tcp.Accept()
		orExit(err)
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// talker ADDRESS LINES FILE: sends so many lines over TCP and as many datagrams from a socket that is not connected,
// and wants each back. It writes the file then, and keeps its sockets until a signal ends it.
func talker() {
	lines, err := strconv.Atoi(os.Args[2])
	orExit(err)
	conn, err := net.DialTimeout("tcp", os.Args[1], scriptPatience)
	orExit(err)
	to, err := net.ResolveUDPAddr("udp", os.Args[1])
	orExit(err)
	udp, err := net.ListenUDP("udp4", nil)
	orExit(err)
	orExit(conn.SetDeadline(time.Now().Add(scriptPatience)))
	orExit(udp.SetDeadline(time.Now().Add(scriptPatience)))
	answers, datagram := bufio.NewReader(conn), make([]byte, 100)
	for range lines {
		_, err := conn.Write([]byte("hello\n"))
		orExit(err)
		_, err = answers.ReadString('\n')
		orExit(err)
		_, err = udp.WriteTo([]byte("hello\n"), to)
		orExit(err)
		_, _, err = udp.ReadFrom(datagram)
		orExit(err)
	}
	orExit(os.WriteFile(os.Args[3], []byte("done\n"), 0o600))
	<-time.After(2 * scriptPatience) // until the script ends it; not for ever, should nobody
}

func orExit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
