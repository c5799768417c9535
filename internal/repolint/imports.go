package repolint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// directions says which packages of weft each package may import, besides those in its own folder. A name that ends in /... covers
// the folder and all below it. The most specific entry counts; a package that no entry covers may import none.
//
// From top to bottom: cmd/weft, internal/app, the other internal packages, gremlin, graph. skydive stands alone,
// and client stands on it, so that both can be used without the server.
var directions = map[string][]string{
	"flow":          nil,
	"flow/pcapfile": {"flow"},
	"graph":         nil,
	"gremlin":       {"graph"},
	"skydive":       nil,
	"client":        {"flow", "skydive"},

	"internal/config":         nil,
	"internal/auth":           {"skydive"},
	"internal/graphjson":      {"graph", "skydive"},
	"internal/probe":          {"graph"},
	"internal/probe/...":      {"graph", "internal/probe"},
	"internal/bus":            {"graph", "internal/capture/order", "internal/config"},
	"internal/bus/...":        {"graph", "internal/api", "internal/bus", "internal/config"},
	"internal/api":            {"flow", "flow/pcapfile", "graph", "gremlin", "skydive", "internal/auth", "internal/capture/filter", "internal/config", "internal/graphjson"},
	"internal/agent":          {"graph", "internal/bus", "internal/config", "internal/probe/..."},
	"internal/analyzer":       {"flow", "graph", "gremlin", "skydive", "internal/api", "internal/bus/...", "internal/capture/order", "internal/config", "internal/graphjson", "internal/probe"},
	"internal/app":            {"flow", "graph", "gremlin", "skydive", "internal/..."},
	"internal/capture":        {"flow"},
	"internal/capture/order":  {"skydive"},
	"internal/capture/runner": {"flow", "flow/pcapfile", "graph", "gremlin", "skydive", "internal/capture/...", "internal/flowquery/row", "internal/probe"},
	"internal/capture/spool":  nil,

	"internal/capture/afpacket": {"flow", "internal/capture", "internal/capture/filter"},
	"internal/capture/filter":   {"flow", "internal/spelling"},
	"internal/capture/datagram": nil,
	"internal/capture/sflow":    {"flow", "internal/capture", "internal/capture/datagram"},
	"internal/capture/netflow":  {"flow", "internal/capture/datagram"},

	"internal/flowstore":     {"flow", "graph", "gremlin", "internal/api", "internal/bus", "internal/flowquery/row"},
	"internal/flowquery":     {"flow", "internal/flowquery/row", "graph", "gremlin", "internal/bus", "internal/capture/filter", "internal/flowstore"},
	"internal/flowquery/row": {"flow", "graph", "gremlin"},
	"internal/spelling":      nil,
	"internal/testenv":       nil,
	"internal/repolint":      nil,
	"internal/repolint/...":  {"internal/config"},
	"internal/probe/table":   {"internal/probe/..."},

	"cmd/...": {"client", "flow", "flow/pcapfile", "internal/capture/filter", "gremlin", "graph", "skydive", "internal/app", "internal/auth", "internal/config", "internal/spelling"},
}

// testSupport reports whether a package is for tests only: nothing that is shipped imports it.
func testSupport(dir string) bool {
	return strings.HasSuffix(dir, "test") || dir == "internal/testenv" || within(dir, []string{"internal/repolint/..."})
}

// leaves are the packages that people import on their own. Their foreign imports are listed in full.
var leaves = map[string][]string{
	"flow": {
		"github.com/cespare/xxhash/v2", "github.com/go-json-experiment/json", "github.com/gopacket/gopacket",
		"google.golang.org/protobuf/encoding/protowire",
	},
	"flow/pcapfile": {"github.com/klauspost/compress"},
	"graph":         nil, // the standard library only
	"gremlin":       nil,
	"skydive":       {"github.com/go-json-experiment/json", "google.golang.org/protobuf/encoding/protowire"},
	"client":        {"github.com/go-json-experiment/json", "github.com/coder/websocket", "golang.org/x/time/rate"},
}

// homes says where a foreign module may be imported by code that is shipped.
var homes = map[string][]string{
	"github.com/coder/websocket":          {"client", "internal/api"},
	"github.com/cespare/xxhash":           {"flow", "internal/capture/order"},
	"github.com/gopacket/gopacket":        {"flow", "internal/capture/..."},
	"github.com/evanphx/json-patch":       {"internal/api"},
	"github.com/getkin/kin-openapi":       nil, // tests compare the description with the handlers
	"github.com/klauspost/compress":       {"flow/pcapfile", "internal/api"},
	"github.com/knadh/koanf":              {"internal/config"},
	"github.com/netsampler/goflow2":       {"internal/capture/sflow", "internal/capture/netflow"},
	"github.com/schollz/progressbar":      {"cmd/..."},
	"github.com/nats-io":                  {"internal/bus/...", "internal/app"},
	"github.com/prometheus/client_golang": {"internal/..."},
	"github.com/safchain/ethtool":         {"internal/probe/linux"},
	"github.com/spf13/cobra":              {"cmd/..."},
	"github.com/spf13/pflag":              {"cmd/...", "internal/config"},
	"github.com/packetcap/go-pcap":        {"internal/capture/filter"},
	"github.com/vishvananda/netlink":      {"internal/capture/afpacket", "internal/probe/linux"},
	"github.com/vishvananda/netns":        {"internal/capture/afpacket", "internal/probe/linux"},
	"google.golang.org/protobuf":          {"flow", "skydive", "client", "internal/api"},
	"pgregory.net/rapid":                  nil,
	"go.uber.org/goleak":                  nil,
	"github.com/rogpeppe/go-internal":     nil,
	"github.com/google/go-cmp":            nil,
}

// checkImports compares the imports within weft with the table.
func checkImports(tree *Tree) []Problem {
	var problems []Problem
	for _, pkg := range tree.Packages {
		if !pkg.Own() {
			continue
		}
		allowed, known := direction(pkg.Dir)
		if !known {
			problems = append(problems, Problem{File: pkg.Dir, Text: "no entry in the table of import directions (internal/repolint/imports.go)"})
			continue
		}
		for _, file := range pkg.Files {
			for _, imported := range tree.Imports(file) {
				target, ok := strings.CutPrefix(imported.Path, modulePath+"/")
				if !ok || target == pkg.Dir {
					continue
				}
				if text := judge(pkg, file, target, allowed); text != "" {
					problems = append(problems, Problem{File: file.Path, Line: imported.Line, Text: text})
				}
			}
		}
	}
	return problems
}

// judge says what is wrong with one import, or "". Tests may also use the packages made for tests, and whatever
// the package below them in the table may: a test of the bus may need a graph to compare with.
func judge(pkg *Package, file *GoFile, target string, allowed []string) string {
	support := testSupport(target)
	if support && !file.Test && !testSupport(pkg.Dir) {
		return fmt.Sprintf("%s is for tests only", target)
	}
	if support || within(target, allowed) {
		return ""
	}
	if file.Test && above(pkg.Dir, target) {
		return ""
	}
	return fmt.Sprintf("%s must not import %s", pkg.Dir, target)
}

// above reports whether importer stands above target in the table, directly or through others; a test may reach
// that far down even where the code does not.
func above(importer, target string) bool {
	seen := map[string]bool{}
	queue := []string{importer}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		allowed, _ := direction(at)
		if within(target, allowed) {
			return true
		}
		for _, next := range allowed {
			if name := strings.TrimSuffix(next, "/..."); !seen[name] {
				seen[name] = true
				queue = append(queue, name)
			}
		}
	}
	return false
}

// direction finds the entry for a package: its own, or that of the nearest folder with /... . A package made for
// the tests of another, such as graph/graphtest, may import that one and whatever that one may.
func direction(dir string) ([]string, bool) {
	if allowed, ok := directions[dir]; ok {
		return allowed, true
	}
	if parent := path.Dir(dir); strings.HasSuffix(dir, "test") && parent != "." {
		allowed, ok := direction(parent)
		return append(slices.Clone(allowed), parent), ok
	}
	for at := dir; ; at = path.Dir(at) {
		if allowed, ok := directions[at+"/..."]; ok {
			return allowed, true
		}
		if at == "." {
			return nil, false
		}
	}
}

// within reports whether a name is in a list of names and folders.
func within(name string, list []string) bool {
	for _, entry := range list {
		folder, deep := strings.CutSuffix(entry, "/...")
		if name == folder || deep && strings.HasPrefix(name, folder+"/") {
			return true
		}
	}
	return false
}

// checkDependencies compares foreign imports with the homes of each, and those of the leaves with their lists.
func checkDependencies(tree *Tree) []Problem {
	var problems []Problem
	for _, pkg := range tree.Packages {
		if !pkg.Own() || testSupport(pkg.Dir) {
			continue
		}
		list, leaf := leaves[pkg.Dir]
		for _, file := range pkg.Files {
			if file.Test {
				continue
			}
			for _, imported := range tree.Imports(file) {
				if standard(imported.Path) || strings.HasPrefix(imported.Path, modulePath) {
					continue
				}
				text := ""
				if leaf && !prefixed(imported.Path, list) {
					text = fmt.Sprintf("%s may not depend on %s", pkg.Dir, imported.Path)
				} else if module, home, ok := homeOf(imported.Path); ok && !within(pkg.Dir, home) {
					text = fmt.Sprintf("%s belongs in %s", module, homeNames(home))
				}
				if text != "" {
					problems = append(problems, Problem{File: file.Path, Line: imported.Line, Text: text})
				}
			}
		}
	}
	return problems
}

func homeNames(home []string) string {
	if len(home) == 0 {
		return "tests"
	}
	return strings.Join(home, ", ")
}

func homeOf(imported string) (module string, home []string, ok bool) {
	for module, home := range homes {
		if imported == module || strings.HasPrefix(imported, module+"/") {
			return module, home, true
		}
	}
	return "", nil, false
}

func prefixed(name string, list []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		return name == entry || strings.HasPrefix(name, entry+"/")
	})
}

// standard reports whether an import path is of the standard library: its first part has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}
