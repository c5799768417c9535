package linux

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weft-net/weft/graph"
	"github.com/weft-net/weft/internal/probe"
)

// A host is the machine's node.
type host struct {
	id, tid string
	fields  []graph.Field
	shown   bool
	said    graph.Metadata
}

// readHost describes the machine below root ("/"): tests give a copy of the files.
func readHost(name, root string) host {
	h := host{id: probe.GenID(name, "host"), tid: probe.TID(name)}
	var o object
	o.text("Name", name)
	o.text("Type", "host")
	o.text("TID", h.tid)
	o.text("OS", "linux")
	if hostname, err := os.Hostname(); err == nil {
		o.text("Hostname", hostname)
	}
	var uname unix.Utsname
	if unix.Uname(&uname) == nil {
		o.text("KernelVersion", unix.ByteSliceToString(uname.Release[:]))
		o.text("KernelArch", unix.ByteSliceToString(uname.Machine[:]))
	}
	release := parseRelease(readFile(root + "etc/os-release"))
	o.text("Platform", release["ID"])
	o.text("PlatformFamily", platformFamily(release))
	o.text("PlatformVersion", platformVersion(release, root))
	cpuinfo := readFile(root + "proc/cpuinfo")
	system, role := virtualization(root, cpuinfo)
	o.text("VirtualizationSystem", system)
	o.text("VirtualizationRole", role)
	o.text("InstanceID", strings.TrimSpace(readFile(root+"var/lib/cloud/data/instance-id")))
	o.fields = append(o.fields, kernelArguments(readFile(root+"proc/cmdline"))...)
	if cpus := processors(cpuinfo); len(cpus) > 0 {
		o.fields = append(o.fields, graph.F("CPU", graph.List(cpus...)))
	}
	h.fields = o.fields
	return h
}

// metadata describes the host, and how far the probe sees.
func (h *host) metadata(all bool) graph.Metadata {
	sees := "own"
	if all {
		sees = "all"
	}
	return graph.NewMetadata(append(h.fields[:len(h.fields):len(h.fields)], graph.F("NamespacesSeen", graph.String(sees)))...)
}

func readFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// parseRelease reads os-release(5).
func parseRelease(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[key] = strings.Trim(value, `"'`)
		}
	}
	return values
}

// platformFamily is the distribution that others derive from, in Skydive's words.
func platformFamily(release map[string]string) string {
	id := release["ID"]
	for name := range strings.FieldsSeq(id + " " + release["ID_LIKE"]) {
		switch name {
		case "debian", "arch", "alpine", "gentoo":
			return name
		case "rhel", "centos", "fedora":
			if id == "fedora" {
				return id
			}
			return "rhel"
		case "suse", "opensuse", "sles":
			return "suse"
		}
	}
	return id
}

func platformVersion(release map[string]string, root string) string {
	if release["ID"] == "debian" {
		if v := strings.TrimSpace(readFile(root + "etc/debian_version")); v != "" {
			return v
		}
	}
	return release["VERSION_ID"]
}

// kernelArguments reads /proc/cmdline: words without a value are true.
func kernelArguments(text string) []graph.Field {
	var fields []graph.Field
	for word := range strings.FieldsSeq(text) {
		if key, value, ok := strings.Cut(word, "="); ok {
			fields = append(fields, graph.F(key, graph.String(value)))
		} else {
			fields = append(fields, graph.F(word, graph.Bool(true)))
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return []graph.Field{graph.F("KernelCmdLine", graph.Object(graph.NewMetadata(fields...)))}
}

// processors reads /proc/cpuinfo. The clock's frequency is left out: it changes all the time.
func processors(text string) []graph.Value {
	var cpus []graph.Value
	var o object
	flush := func() {
		if len(o.fields) > 0 {
			cpus = append(cpus, graph.Object(graph.NewMetadata(o.fields...)))
		}
		o = object{}
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20) // "flags" lines are long
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			if key == "" {
				flush()
			}
			continue
		}
		number := func(name string) {
			if n, err := strconv.Atoi(strings.TrimSuffix(value, " KB")); err == nil {
				o.fields = append(o.fields, graph.F(name, graph.Int(int64(n))))
			}
		}
		switch key {
		case "processor":
			flush()
			number("CPU")
		case "vendor_id", "CPU implementer":
			o.text("VendorID", value)
		case "cpu family":
			o.text("Family", value)
		case "model", "CPU part":
			o.text("Model", value)
		case "model name":
			o.text("ModelName", value)
		case "stepping":
			number("Stepping")
		case "physical id":
			o.text("PhysicalID", value)
		case "core id":
			o.text("CoreID", value)
		case "cpu cores":
			number("Cores")
		case "cache size":
			number("CacheSize")
		case "microcode":
			o.text("Microcode", value)
		}
	}
	flush()
	return cpus
}

// virtualization tells what the machine runs in or on: "guest" of a hypervisor or a
// container runtime, or "host" of one.
func virtualization(root, cpuinfo string) (system, role string) {
	switch {
	case exists(root + ".dockerenv"):
		return "docker", "guest"
	case exists(root + "run/.containerenv"):
		return "podman", "guest"
	}
	for word := range strings.SplitSeq(readFile(root+"proc/1/environ"), "\x00") {
		if runtime, ok := strings.CutPrefix(word, "container="); ok && runtime != "" {
			return runtime, "guest"
		}
	}
	if kind := strings.TrimSpace(readFile(root + "sys/hypervisor/type")); kind != "" {
		return kind, "guest"
	}
	vendor := readFile(root+"sys/class/dmi/id/sys_vendor") + readFile(root+"sys/class/dmi/id/product_name")
	for _, known := range []struct{ text, system string }{
		{"QEMU", "kvm"},
		{"KVM", "kvm"},
		{"OpenStack", "kvm"},
		{"Amazon EC2", "kvm"},
		{"Google", "kvm"},
		{"VMware", "vmware"},
		{"innotek", "vbox"},
		{"VirtualBox", "vbox"},
		{"Xen", "xen"},
		{"Microsoft Corporation", "hyperv"},
		{"Bochs", "bochs"},
		{"Parallels", "parallels"},
	} {
		if strings.Contains(vendor, known.text) {
			return known.system, "guest"
		}
	}
	if hasFlag(cpuinfo, "hypervisor") {
		return "kvm", "guest" // what hides its name is most often that
	}
	if modules := readFile(root + "proc/modules"); strings.Contains(modules, "kvm") || exists(root+"dev/kvm") {
		return "kvm", "host"
	}
	return "", ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func hasFlag(cpuinfo, flag string) bool {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "flags" {
			for f := range strings.FieldsSeq(value) {
				if f == flag {
					return true
				}
			}
			return false
		}
	}
	return false
}
