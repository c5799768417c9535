package main

import (
	"context"
	"fmt"
	"time"

	"github.com/weft-net/weft/client"
	"github.com/weft-net/weft/skydive"
)

// sustainedSize is how many nodes, and how many edges, one client publishes without a break.
const sustainedSize = 250_000

// elements are made beforehand, as a program has them that publishes what it knows.
type elements struct {
	nodes []*skydive.Node
	edges []*skydive.Edge
}

func makeElements(size int) elements {
	var e elements
	for i := range size {
		e.nodes = append(e.nodes, node(i))
		e.edges = append(e.edges, edge(i, size))
	}
	return e
}

// send hands all elements to the client, which encodes them.
func (e elements) send(ctx context.Context, p *client.Publisher) error {
	for _, n := range e.nodes {
		if err := p.NodeAdded(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range e.edges {
		if err := p.EdgeAdded(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// publishWith starts a server and a publisher of package client, and runs do with them.
func publishWith(ctx context.Context, b *bench, args []string, do func(*server, *client.Publisher) ([]figure, error)) ([]figure, error) {
	s, err := b.start(ctx, "analyzer", args...)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	c, err := client.New(client.Config{Address: s.address, ClientType: "bench", HostID: "bench"})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	p, err := c.Publish(ctx, client.PublishOptions{})
	if err != nil {
		return nil, err
	}
	figures, err := do(s, p)
	if closed := p.Close(ctx); err == nil && closed != nil {
		err = fmt.Errorf("close: %w", closed)
	}
	return figures, err
}

// publishBurst sends everything as fast as the client can, and stops the clock when queries see every element.
func publishBurst(ctx context.Context, b *bench) ([]figure, error) {
	size := b.scale(publishSize)
	all := makeElements(size)
	return publishWith(ctx, b, nil, func(s *server, p *client.Publisher) ([]figure, error) {
		seen, err := s.elements(ctx)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		if err := all.send(ctx, p); err != nil {
			return nil, err
		}
		took, lost, err := allVisible(ctx, s, started, seen+2*size)
		if err != nil {
			return nil, err
		}
		return []figure{
			judged(within(took.Seconds(), 1), "%.2f s", took.Seconds()),
			judged(within(float64(lost), 0), "%d lost", lost),
			info("client and server share the cores"),
		}, nil
	})
}

// publishSustained measures the rate over some seconds, from the first element to the acknowledgement of the last. The
// clients' work, encoding included, is done on the same cores.
func publishSustained(ctx context.Context, b *bench) ([]figure, error) {
	size := b.scale(sustainedSize)
	all := makeElements(size)
	var args []string
	if b.profile != "" {
		args = []string{"--cpuprofile", b.profile}
	}
	return publishWith(ctx, b, args, func(s *server, p *client.Publisher) ([]figure, error) {
		before, err := s.cpu()
		if err != nil {
			return nil, err
		}
		started := time.Now()
		if err := all.send(ctx, p); err != nil {
			return nil, err
		}
		reply, err := p.Flush(ctx)
		if err != nil {
			return nil, err
		}
		took := time.Since(started)
		after, err := s.cpu()
		if err != nil {
			return nil, err
		}
		if int(reply.Committed) != 2*size || reply.Rejected != 0 {
			return nil, fmt.Errorf("%d elements were committed and %d rejected, of %d", reply.Committed, reply.Rejected, 2*size)
		}
		rate := float64(2*size) / took.Seconds()
		used := (after - before).Seconds()
		memory, err := s.memory()
		if err != nil {
			return nil, err
		}
		return []figure{
			judged(atLeast(rate, 100_000), "%.0f/s", rate),
			info("%d elements in %.2f s; the server used %.2f s of CPU, %.1f µs an element, and then holds %.0f MB", 2*size, took.Seconds(), used, used*1e6/float64(2*size), megabytes(memory)),
		}, nil
	})
}
