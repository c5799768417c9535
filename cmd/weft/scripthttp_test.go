package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// request STATUS METHOD URL [BODY [HEADER…]]: one request as a program without a client
// library sends it; a body without a Content-Type is a form. Wants that status, and prints
// the answer's head and body.
func cmdRequest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: request STATUS METHOD URL [BODY [HEADER…]]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	body, headers := "", []string(nil)
	if len(args) > 3 {
		body, headers = args[3], args[4:]
	}
	req, err := http.NewRequest(args[1], args[2], strings.NewReader(body))
	ts.Check(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, header := range headers {
		name, value, ok := strings.Cut(header, ": ")
		if !ok {
			ts.Fatalf("header %q: write it as NAME: VALUE", header)
		}
		req.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(answer.Header.Write(ts.Stdout()))
	_, err = fmt.Fprintf(ts.Stdout(), "\n%s", text)
	ts.Check(err)
	if answer.StatusCode != want {
		ts.Fatalf("%s %s: %s, want %d: %s", args[1], args[2], answer.Status, want, text)
	}
}

// capture VARIABLE REGEXP: puts what the first group matches in the last output into the
// variable.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VARIABLE REGEXP")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	found := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("%s does not match the output", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// publish POLICY HOST FILE: sends the elements of a file as the publisher test.HOST with
// that persistence policy (or none), and stays connected until the script ends.
func cmdPublish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: publish POLICY HOST FILE")
	}
	policy := args[0]
	if policy == "none" {
		policy = ""
	}
	cl, err := client.New(client.Config{Address: ts.Getenv("WEFT_ANALYZER")})
	ts.Check(err)
	ts.Defer(func() { cl.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	pub, err := cl.Publish(context.Background(), client.PublishOptions{ClientType: "test", HostID: args[1], Persistence: policy})
	ts.Check(err)
	ts.Defer(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = pub.Close(ended) // its analyzer may be gone
	})
	err = readElements(strings.NewReader(ts.ReadFile(args[2])), func(el element) error {
		message := skydive.MsgNodeAdded
		if el.edge {
			message = skydive.MsgEdgeAdded
		}
		return pub.Send(ctx, message, skydive.RawJSON(el.text))
	}, func(bad *badElement) error { return bad })
	ts.Check(err)
	done, err := pub.Flush(ctx)
	ts.Check(err)
	if done.Rejected > 0 {
		ts.Fatalf("%d elements refused", done.Rejected)
	}
}
