package testenv

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// packageOf names the Debian package that holds a program, where the two differ.
func packageOf(program string) string {
	switch program {
	case "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovs-dpctl":
		return "openvswitch-switch"
	case "ovsdb-server", "ovsdb-client", "ovsdb-tool":
		return "openvswitch-common"
	case "zebra", "ospfd", "vtysh":
		return "frr"
	case "ethtool", "nats-server":
		return program
	case "argus":
		return "argus-server"
	case "nfpcapd", "nfdump":
		return "nfdump"
	case "pmacctd":
		return "pmacct"
	case "protoc":
		return "protobuf-compiler"
	case "ping":
		return "iputils-ping"
	case "bridge", "ip":
		return "iproute2"
	}
	return program
}

// Binary returns the path of a program: the one in PATH, or else that of Debian's package,
// fetched by tools/fetch-debian into the tree's cache. Programs from the cache may need the
// libraries beside them: run them with [Command].
func Binary(t testing.TB, program string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	script := fetchScript(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	fetch := exec.CommandContext(ctx, script, packageOf(program))
	var stderr bytes.Buffer
	fetch.Stderr = &stderr
	out, err := fetch.Output()
	if err != nil {
		Missing(t, "%s: tools/fetch-debian %s: %v\n%s", program, packageOf(program), err, stderr.Bytes())
	}
	root := string(bytes.TrimSpace(out))
	for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/frr"} {
		path := filepath.Join(root, dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	Missing(t, "%s: Debian's package %s does not hold it", program, packageOf(program))
	return ""
}

// Command prepares a run of the program that [Binary] finds. The run is killed when ctx ends.
func Command(ctx context.Context, t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	path := Binary(t, program)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = os.Environ()
	if root := debianRoot(t); root != "" && within(root, path) {
		libs := filepath.Join(root, "usr/lib", machine()+"-linux-gnu")
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+libs)
	}
	return cmd
}

// Top is the directory of the module: tests run in the directory of their package.
func Top(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = parent
	}
}

func fetchScript(t testing.TB) string {
	t.Helper()
	return filepath.Join(Top(t), "tools", "fetch-debian")
}

func debianRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command(fetchScript(t), "--print-dir").Output()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func machine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}
