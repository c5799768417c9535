package linux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// machine makes the files of a machine.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir() + "/"
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestHost(t *testing.T) {
	root := machine(t, map[string]string{
		"etc/os-release":                 "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n",
		"proc/cmdline":                   "root=/dev/vda1 quiet console=ttyS0\n",
		"proc/cpuinfo":                   "processor\t: 0\nmodel name\t: Fast\ncpu cores\t: 2\ncache size\t: 512 KB\n\nprocessor\t: 1\nmodel name\t: Fast\n\n",
		"sys/class/dmi/id/sys_vendor":    "QEMU\n",
		"var/lib/cloud/data/instance-id": "i-1\n",
	})
	h := readHost("router", root)
	m := h.metadata(true)
	for key, want := range map[string]string{
		"Name": "router", "Type": "host", "OS": "linux", "TID": probe.TID("router"),
		"Platform": "ubuntu", "PlatformFamily": "debian", "PlatformVersion": "24.04",
		"VirtualizationSystem": "kvm", "VirtualizationRole": "guest", "InstanceID": "i-1",
		"KernelCmdLine":  `{"console":"ttyS0","quiet":true,"root":"/dev/vda1"}`,
		"CPU":            `[{"CPU":0,"CacheSize":512,"Cores":2,"ModelName":"Fast"},{"CPU":1,"ModelName":"Fast"}]`,
		"NamespacesSeen": "all",
	} {
		if v, _ := m.Get(key); v.String() != want {
			t.Errorf("%s is %s, want %s", key, v, want)
		}
	}
}

func TestVirtualization(t *testing.T) {
	for _, c := range []struct {
		files        map[string]string
		system, role string
	}{
		{map[string]string{".dockerenv": ""}, "docker", "guest"},
		{map[string]string{"proc/1/environ": "HOME=/\x00container=lxc\x00"}, "lxc", "guest"},
		{map[string]string{"sys/hypervisor/type": "xen\n"}, "xen", "guest"},
		{map[string]string{"sys/class/dmi/id/product_name": "VMware Virtual Platform\n"}, "vmware", "guest"},
		{map[string]string{"proc/cpuinfo": "flags\t: fpu hypervisor\n"}, "kvm", "guest"},
		{map[string]string{"proc/modules": "kvm_intel 1 0 - Live 0x0\n"}, "kvm", "host"},
		{nil, "", ""},
	} {
		root := machine(t, c.files)
		if system, role := virtualization(root, readFile(root+"proc/cpuinfo")); system != c.system || role != c.role {
			t.Errorf("%v: %s %s, want %s %s", c.files, system, role, c.system, c.role)
		}
	}
}

func TestPlatformFamily(t *testing.T) {
	for id, want := range map[string]string{"debian": "debian", "fedora": "fedora", "rocky rhel centos fedora": "rhel", "nixos": "nixos"} {
		release := parseRelease("ID=" + id)
		if first, rest, ok := strings.Cut(id, " "); ok {
			release = map[string]string{"ID": first, "ID_LIKE": rest}
		}
		if got := platformFamily(release); got != want {
			t.Errorf("%s is of %s, want %s", id, got, want)
		}
	}
}

func TestNewNeedsAHost(t *testing.T) {
	if _, err := New(probe.Env{}); err == nil {
		t.Error("a probe of no host")
	}
	p, err := New(probe.Env{Host: "h"})
	if err != nil || p.Name() != "linux" {
		t.Errorf("%v %v", p, err)
	}
}

func TestHostWithoutFilesHasAName(t *testing.T) {
	h := readHost("h", t.TempDir()+"/")
	m := h.metadata(false)
	if name, _ := m.Get("Name"); name.Str() != "h" {
		t.Errorf("%v", m.Map())
	}
	if v, ok := m.Get("CPU"); ok {
		t.Errorf("CPU is %v", v)
	}
	if v, _ := m.Get("NamespacesSeen"); v.Kind() != graph.KindString || v.Str() != "own" {
		t.Errorf("NamespacesSeen is %v", v)
	}
}
