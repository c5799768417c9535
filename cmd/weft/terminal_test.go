package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal gives the two ends of a pseudo-terminal of that many columns.
func terminal(t *testing.T, columns uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// weft in a process of its own, which sees the terminal; the test binary is both.
func TestOutputOnATerminal(t *testing.T) {
	answer := `[{"ID":"` + strings.Repeat("0123456789", 6) + `","Metadata":{"Name":"v0","Type":"veth","State":"UP"},"Host":"h"}]`
	at := answering(t, 200, answer)
	weft, err := exec.LookPath("weft") // testscript.Main puts the program there
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{
			"colours, and no line over the width",
			[]string{"TERM=xterm"},
			[]string{"query", "G.V()"},
			"\x1b[1mID\x1b[0m                 \x1b[1mName\x1b[0m  \x1b[1mType\x1b[0m  \x1b[1mHost\x1b[0m  \x1b[1mState\x1b[0m\r\n" +
				"0123456789012345…  v0    veth  h     \x1b[32mUP\x1b[0m\r\n",
		},
		{
			"NO_COLOR",
			[]string{"TERM=xterm", "NO_COLOR=1"},
			[]string{"query", "G.V()"},
			"ID                 Name  Type  Host  State\r\n0123456789012345…  v0    veth  h     UP\r\n",
		},
		{"a dumb terminal", []string{"TERM=dumb"}, []string{"query", "G.V().Values('x')", "--columns", "Name"}, "Name\r\nv0\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			master, slave := terminal(t, 42)
			cmd := exec.Command(weft, append(c.args, "--analyzer", at)...)
			cmd.Env = append(c.env, "HOME=/")
			cmd.Stdout = slave
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			slave.Close()
			// With the other end closed the terminal gives what was written, and then an error.
			got, _ := io.ReadAll(master)
			if string(got) != c.want {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}
