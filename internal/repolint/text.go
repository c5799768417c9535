package repolint

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// banned are words that must not stand in the tree. They are put together here so that this file may stand in it.
var banned = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "an unfinished mark"},
	{regexp.MustCompile(`(^|[^\w./-])/(wo` + `rk|ro` + `ot|home/\w+)/[\w.]`), "a path of one machine"},
	{regexp.MustCompile(`(?i)\b(not yet impl` + `emented|place` + `holder)\b`), "an unfinished mark"},
}

func checkWords(tree *Tree) []Problem {
	var problems []Problem
	for _, name := range tree.names() {
		if path.Base(name) == "go.sum" || inTestdata(name) || path.Base(name) == "LICENSE" {
			continue
		}
		for i, line := range bytes.Split(tree.Files[name], []byte("\n")) {
			for _, word := range banned {
				if found := word.pattern.Find(line); found != nil {
					problems = append(problems, Problem{File: name, Line: i + 1, Text: fmt.Sprintf("%q is %s", strings.TrimSpace(string(found)), word.why)})
				}
			}
		}
	}
	return problems
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()\s]*\))?)\)`)
	imageSource  = regexp.MustCompile(`(?:src|srcset|href)="([^"]+)"`)
	makeTarget   = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	makeCommand  = regexp.MustCompile("(?:^|`|\\$ |sudo |&& )make ([a-z][a-z-]*)")
	makeInTicks  = regexp.MustCompile("`[^`]*\\bmake [a-z][^`]*`")
	pathInTicks  = regexp.MustCompile("`([\\w.-]+(?:/[\\w.*-]+)+)/?`")
	heading      = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
)

// checkLinks follows every relative link of every page, anchors included, and looks up the make targets and the
// paths of this repository that pages name.
func checkLinks(tree *Tree) []Problem {
	targets := make(map[string]bool)
	for _, match := range makeTarget.FindAllSubmatch(tree.Files["Makefile"], -1) {
		targets[string(match[1])] = true
	}
	var problems []Problem
	for _, name := range tree.names() {
		if path.Ext(name) != ".md" || inTestdata(name) {
			continue
		}
		fenced := false
		for i, line := range strings.Split(string(tree.Files[name]), "\n") {
			report := func(format string, args ...any) {
				problems = append(problems, Problem{File: name, Line: i + 1, Text: fmt.Sprintf(format, args...)})
			}
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				continue
			}
			commands := []string{line}
			if !fenced {
				commands = makeInTicks.FindAllString(line, -1) // prose may say make, too
			}
			for _, command := range commands {
				for _, match := range makeCommand.FindAllStringSubmatch(command, -1) {
					if !targets[match[1]] {
						report("make %s is no target", match[1])
					}
				}
			}
			if fenced {
				continue
			}
			for _, link := range links(line) {
				if text := follow(tree, name, link); text != "" {
					report("%s", text)
				}
			}
			for _, match := range pathInTicks.FindAllStringSubmatch(line, -1) {
				if !named(tree, match[1]) {
					report("%s does not exist", match[1])
				}
			}
		}
	}
	return problems
}

func links(line string) []string {
	var found []string
	for _, pattern := range []*regexp.Regexp{markdownLink, imageSource} {
		for _, match := range pattern.FindAllStringSubmatch(line, -1) {
			found = append(found, match[1])
		}
	}
	return found
}

// follow says what is wrong with a link on a page, or "". Links to other sites are not asked for.
func follow(tree *Tree, page, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	target, anchor, _ := strings.Cut(link, "#")
	file := page
	if target != "" {
		file = path.Join(path.Dir(page), target)
	}
	if !exists(tree, file) {
		return fmt.Sprintf("the link %s leads nowhere", link)
	}
	if anchor != "" && path.Ext(file) == ".md" && !slices.Contains(anchors(tree.Files[file]), anchor) {
		return fmt.Sprintf("the link %s names no heading of %s", link, file)
	}
	return ""
}

// named reports whether a path in backquotes exists, if it looks like one of this repository: its first part is a
// folder at the top. Anything else, such as a URL path or a subject of the bus, is not ours to judge.
func named(tree *Tree, name string) bool {
	first, _, _ := strings.Cut(name, "/")
	if !exists(tree, first) || strings.Contains(first, ".") && first != ".ci" {
		return true
	}
	if strings.Contains(name, "*") {
		return slices.ContainsFunc(tree.names(), func(file string) bool {
			ok, err := path.Match(name, file)
			return ok && err == nil
		})
	}
	return exists(tree, name)
}

// exists reports whether a path is a file of the tree or a folder that holds one.
func exists(tree *Tree, name string) bool {
	name = path.Clean(name)
	if _, ok := tree.Files[name]; ok || name == "." {
		return true
	}
	for file := range tree.Files {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// anchors returns the names under which the headings of a page can be linked to, as GitHub makes them: lower case,
// punctuation gone, spaces as hyphens.
func anchors(page []byte) []string {
	var found []string
	fenced := false
	for line := range strings.SplitSeq(string(page), "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		match := heading.FindStringSubmatch(line)
		if fenced || match == nil {
			continue
		}
		var anchor strings.Builder
		for _, r := range strings.ToLower(match[1]) {
			switch {
			case r == ' ':
				anchor.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
				anchor.WriteRune(r)
			}
		}
		found = append(found, anchor.String())
	}
	return found
}
