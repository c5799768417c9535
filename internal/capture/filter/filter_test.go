package filter

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/flow"
	"github.com/weft-net/weft/internal/testenv"
)

// expressions are judged by tcpdump. Those that only Ethernet has are marked.
func expressions() []string {
	return strings.Split(strings.TrimSpace(`
ip
ip6
arp @
rarp @
tcp
udp
sctp
icmp
icmp6
igmp
esp
ah
pim
vrrp
not ip
! ip6 and ! arp
host 10.0.0.1
src host 10.0.0.1
dst host 10.0.0.1
src 10.0.0.1
dst 10.0.0.1
src or dst host 10.0.0.1
src and dst host 10.0.0.1
ip host 10.0.0.1
ip src 10.0.0.1
ip dst host 10.0.0.1
arp host 10.0.0.1 @
arp src host 10.0.0.1 @
arp dst 10.0.0.1 @
rarp host 10.0.0.1 @
host 2001:db8::1
src host 2001:db8::1
dst 2001:db8::1
src and dst host 2001:db8::1
ip6 host fe80::1
ip6 src fe80::1
not host 10.0.0.1
not src host 2001:db8::1
net 10.0.0.0/8
net 10
net 192.168
net 192.168.1
src net 10.0.0.0/8
dst net 192.168.1.64/26
net 0.0.0.0/0
net 10.0.0.0 mask 255.255.0.0
ip net 10.0.0.0/30
ip src net 10.0.0.0/30
src and dst net 10.0.0.0/8
arp net 10.0.0.0/8 @
net 2001:db8::/32
src net 2001:db8::/48
dst net 2001:db8:8000::/33
net 2001:db8::/127
src and dst net 2001:db8::/32
ip6 net fe80::/10
not net 10.0.0.0/8
port 53
port domain
src port 53
dst port 53
src or dst port 53
src and dst port 53
tcp port 80
tcp src port 443
tcp dst port http
udp port 53
udp dst port 5353
sctp port 179
not port 22
not tcp port 80
port 53 or 80
tcp port 80 or 443 or 22
not (port 53 or port 80)
portrange 20-80
tcp portrange 1-1023
src portrange 20-25
udp dst portrange 5353-33000
src and dst portrange 20-80
portrange 80-20
tcp and port 80
tcp port 80 and host 10.0.0.1
host 10.0.0.1 and host 10.0.0.2
host 10.0.0.1 or 10.0.0.2
host 10.0.0.1 and not port 22
tcp or udp and port 53
tcp or (udp and port 53)
udp and port 53 or tcp
(tcp or udp) and (port 53 or port 80) and not host 10.0.0.1
not tcp and not udp
!(tcp || udp) && ip
src host 10.0.0.1 and dst host 192.168.1.1
src 10.0.0.1 and dst port 53
src host 10.0.0.1 or src host 2001:db8::1 and tcp
ip proto 17
ip proto \tcp
ip proto 47
ip6 proto 58
proto 6
ether proto 0x88cc @
ether proto \arp @
ether proto 0x0800 @
ether host 02:00:00:00:00:09 @
ether src 02:00:00:00:00:09 @
ether dst 02:00:00:00:00:01 @
ether dst host 02:00:00:00:00:02 @
ether host 02:00:00:00:00:03 and ip @
not ether dst 02:00:00:00:00:01 @
ether broadcast @
broadcast @
ether multicast @
multicast @
ip multicast
ip6 multicast
less 100
greater 400
len > 200
len <= 150
tcp[13] & 2 != 0
tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn
tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not net 10
tcp[13] = 2
tcp[0:2] < 1024
udp[2:2] == 53
udp[4:4] > 0
icmp[icmptype] == icmp-echo
icmp[0] = 8 or icmp[0] = 0
icmp6[0] >= 8
ip[8] >= 64
ip[6:2] & 0x1fff != 0
ip[0] & 0xf > 5
ip6[6] == 44
ether[0] & 1 = 0 @
ether[12:2] == 0x86dd @
arp[6:2] = 1 @
vlan @
vlan 100 @
vlan 5 @
vlan and ip @
vlan 100 and tcp port 80 @
vlan 100 and host 10.0.0.1 @
vlan 100 and vlan 5 @
vlan 100 and vlan 5 and ip6 @
vlan and vlan and net 2001:db8::/32 @
vlan and (tcp or udp) @
vlan 5 and ip[8] >= 64 and src net 10 @
vlan and arp host 10.0.0.1 @
vlan and portrange 20-80 @
vlan and ether src 02:00:00:00:00:09 @
vlan and not port 53 @
vlan and broadcast @
ether dst 02:00:00:00:00:01 and vlan 5 and ip @
not vlan @
ip and not vlan @
not vlan 100 @
`), "\n")
}

func TestTheSamePacketsPassAsInTcpdump(t *testing.T) {
	packets := corpus()
	for _, world := range []struct {
		name    string
		link    flow.LinkType
		number  uint32
		packets []packet
	}{{"ethernet", flow.LinkEthernet, 1, packets}, {"raw", flow.LinkRaw, 101, rawIP(packets)}} {
		file := writePCAP(t, world.packets, world.number)
		for _, line := range expressions() {
			expression, only := strings.CutSuffix(line, " @")
			if only && world.link != flow.LinkEthernet {
				continue
			}
			t.Run(world.name+"/"+expression, func(t *testing.T) {
				program, err := Compile(expression, world.link, 0)
				if err != nil {
					t.Fatal(err)
				}
				truth, err := tcpdump(t, file, expression)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := tcpdump(t, file, expression, "-O")
				if err != nil {
					t.Fatal(err)
				}
				if (len(truth) == 0 || len(truth) == len(world.packets)) && world.link == flow.LinkEthernet {
					t.Errorf("%d of %d packets pass: they do not show that it works", len(truth), len(world.packets))
				}
				wrong := 0
				for i, p := range world.packets {
					got := program.Match(p.data, p.length)
					if whole := len(p.data) == p.length; got != truth[i] && (whole || got != plain[i]) {
						if wrong++; wrong <= 3 {
							t.Errorf("packet %d: tcpdump says %v of %x (%d bytes)", i, truth[i], p.data[:min(len(p.data), 80)], p.length)
						}
					}
				}
				if wrong > 0 {
					t.Errorf("%d of %d packets are judged wrongly; %d pass tcpdump", wrong, len(world.packets), len(truth))
				}
			})
		}
	}
}

func TestTheKernelTakesEveryProgram(t *testing.T) {
	testenv.Root(t)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, line := range append(expressions(), long("or", 40), long("and", 40)) {
		expression, _ := strings.CutSuffix(line, " @")
		program, err := Compile(expression, flow.LinkEthernet, 96)
		if err != nil {
			t.Fatal(err)
		}
		raw := program.Raw()
		filter := make([]unix.SockFilter, len(raw))
		for i, in := range raw {
			filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
		}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)})
		runtime.KeepAlive(filter)
		if err != nil {
			t.Errorf("%s: %v", expression[:min(len(expression), 60)], err)
		}
	}
}

// long is an expression whose jumps are longer than a byte can say.
func long(join string, count int) string {
	negation := ""
	if join == "and" {
		negation = "not "
	}
	return strings.TrimSuffix(strings.Repeat(negation+"udp port 7777 "+join+" ", count)+negation+"udp port 53", " ")
}

func TestLongExpressionsMeanTheSame(t *testing.T) {
	or, err := Compile(long("or", 100), flow.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	and, err := Compile(long("and", 100), flow.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	short, err := Compile("udp port 53", flow.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range corpus() {
		want := short.Match(p.data, p.length)
		// A packet that is cut where the program looks is refused by either.
		if got := or.Match(p.data, p.length); got != want {
			t.Fatalf("packet %d: or gives %v, want %v", i, got, want)
		}
		if got := and.Match(p.data, p.length); len(p.data) == p.length && got == want {
			t.Fatalf("packet %d: and gives %v, want %v", i, got, !want)
		}
	}
}

func TestSnapLengthIsWhatTheKernelKeeps(t *testing.T) {
	for snap, want := range map[int]uint32{0: 262144, 96: 96, 1 << 20: 262144} {
		program, err := Compile("tcp", flow.LinkEthernet, snap)
		if err != nil {
			t.Fatal(err)
		}
		raw := program.Raw()
		if got := raw[len(raw)-2]; got != (bpf.RawInstruction{Op: opReturn, K: want}) {
			t.Errorf("snap %d: %+v", snap, got)
		}
	}
}

func TestWhatIsNotUnderstoodIsAnErrorWithItsPosition(t *testing.T) {
	for _, test := range []struct {
		expression string
		position   int
		text       string
	}{
		{"foo", 0, "names of hosts are not looked up"},
		{"10.0.0.1", 0, "such as host"},
		{"ip port 53", 8, `write "ip and port 53"`},
		{strings.Repeat("tcp portrange 1-2 or ", 400) + "tcp", 0, "the kernel takes"},
		{"host", 4, "ends too early"},
		{"host example.com", 5, "not an IP address"},
		{"tcp port", 8, "ends too early"},
		{"tcp port x", 9, "not a port"},
		{"port 65536", 5, "not a port"},
		{"tcp and", 7, "ends too early"},
		{"tcp or or udp", 7, "not understood"},
		{"(tcp", 4, "ends too early"},
		{"(tcp]", 4, "closing parenthesis"},
		{"tcp)", 3, "and, or, or the end"},
		{"tcp udp", 4, "and, or, or the end"},
		{"tcp port 80 udp", 12, "and, or, or the end"},
		{"ip host 2001:db8::1", 8, "does not go with"},
		{"ip6 host 10.0.0.1", 9, "does not go with"},
		{"tcp host 10.0.0.1", 9, `write "tcp and host 10.0.0.1"`},
		{"host 10.0.0.0/8", 5, "networks are written net"},
		{"net 10.0.0.1/8", 4, "write 10.0.0.0/8"},
		{"net 10.0.0.0/33", 4, "not a network"},
		{"net 10.0.0.0 mask 255.0.255.0", 13, "has holes"},
		{"icmp port 5", 10, "has no ports"},
		{"portrange 20", 10, "not a range"},
		{"ether host 10.0.0.1", 11, "not an Ethernet address"},
		{"ether proto 5", 12, "write a number from 1536"},
		{"ip proto foo", 9, "not a protocol"},
		{"ether", 5, "ends too early"},
		{"gateway 10.0.0.1", 0, "not understood"},
		{"pppoes", 0, "not understood"},
		{"vlan 4096", 5, "choose 0 to 4095"},
		{"vlan 5 or ip", 0, "vlan goes with and"},
		{"ip and (vlan or tcp)", 8, "vlan goes with and"},
		{"not vlan and ip", 4, "vlan goes with and"},
		{"tcp[13", 6, "ends too early"},
		{"tcp[x] = 1", 4, "not an offset"},
		{"tcp[0:3] = 1", 6, "not a size"},
		{"tcp[13] & 2", 11, "ends too early"},
		{"tcp[13] and udp", 8, "a comparison was expected"},
		{"tcp[12] >> 2 = 5", 8, "not understood"},
		{"tcp[13] & foo != 0", 10, "not a number"},
		{"ip broadcast", 3, "only that of Ethernet"},
		{"less x", 5, "not a number"},
		{"tcp; rm", 3, "not understood"},
		{"tcp 80", 4, "not followed by a value"},
		{strings.Repeat("(", 200) + "ip", 100, "nested deeper"},
	} {
		t.Run(test.expression[:min(30, len(test.expression))], func(t *testing.T) {
			program, err := Compile(test.expression, flow.LinkEthernet, 0)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || program != nil {
				t.Fatalf("program %v, error %v", program, err)
			}
			if syntax.Position != test.position || !strings.Contains(syntax.Text, test.text) {
				t.Errorf("at %d %q, want at %d %q", syntax.Position, syntax.Text, test.position, test.text)
			}
		})
	}
}

func TestEthernetIsNotLookedForWhereThereIsNone(t *testing.T) {
	for _, expression := range []string{"ether host 02:00:00:00:00:01", "vlan", "broadcast", "ether[0] = 1"} {
		if _, err := Compile(expression, flow.LinkRaw, 0); err == nil {
			t.Errorf("%s: compiled for raw IP", expression)
		}
	}
	if _, err := Compile("ip", flow.LinkNull, 0); err == nil {
		t.Error("compiled for a link type that is not known")
	}
}

func FuzzCompile(f *testing.F) {
	for _, line := range expressions() {
		f.Add(strings.TrimSuffix(line, " @"))
	}
	f.Add("((((")
	f.Add("not not vlan 5 and vlan")
	data := corpus()[0].data
	f.Fuzz(func(t *testing.T, expression string) {
		for _, link := range []flow.LinkType{flow.LinkEthernet, flow.LinkRaw, flow.LinkLinuxSLL} {
			program, err := Compile(expression, link, 0)
			var syntax *SyntaxError
			switch {
			case err == nil:
				program.Match(data, len(data))
				if out, ok := bpf.Disassemble(program.Raw()); !ok {
					t.Errorf("not a program: %v", out)
				}
			case !errors.As(err, &syntax) || syntax.Position < 0 || syntax.Position > len(expression):
				t.Errorf("error %v", err)
			}
		}
	})
}
