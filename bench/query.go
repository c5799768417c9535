package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/weft-net/weft/skydive"
)

// query posts one Gremlin expression over the server's kept-alive connection and returns the body.
func (s *server) query(ctx context.Context, text string, encoding string) ([]byte, error) {
	body, err := json.Marshal(skydive.TopologyParams{GremlinQuery: text})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+skydive.PathTopology, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", skydive.ContentJSON)
	request.Header.Set("Accept", skydive.ContentJSON)
	if encoding != "" {
		request.Header.Set("Accept-Encoding", encoding)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", text, response.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}

// count returns the number that a Count query answers with.
func (s *server) count(ctx context.Context, text string) (int, error) {
	answer, err := s.query(ctx, text, "")
	if err != nil {
		return 0, err
	}
	var numbers []int
	if err := json.Unmarshal(answer, &numbers); err != nil || len(numbers) != 1 {
		var number int
		if json.Unmarshal(answer, &number) == nil {
			return number, nil
		}
		return 0, fmt.Errorf("%s: no number in %.100s", text, answer)
	}
	return numbers[0], nil
}

// loaded starts a server that holds the elements of the table.
func loaded(ctx context.Context, b *bench) (*server, error) {
	s, err := b.start(ctx, "analyzer")
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, publishSize); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// distribution runs something several times and returns the median and the 95th percentile.
func distribution(times int, do func(i int) error) (median, p95 time.Duration, err error) {
	all := make([]time.Duration, times)
	for i := range all {
		started := time.Now()
		if err := do(i); err != nil {
			return 0, 0, err
		}
		all[i] = time.Since(started)
	}
	slices.Sort(all)
	return all[times/2], all[times*95/100], nil
}

func queryHas(ctx context.Context, b *bench) ([]figure, error) {
	s, err := loaded(ctx, b)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	ask := func(i int) error {
		answer, err := s.query(ctx, fmt.Sprintf("G.V().Has('Name','node%d')", i*31%publishSize), "")
		if err == nil && len(answer) < 10 {
			err = fmt.Errorf("the node was not found: %s", answer)
		}
		return err
	}
	if _, _, err := distribution(50, ask); err != nil { // connections and caches are warm, as in a program that runs
		return nil, err
	}
	median, p95, err := distribution(b.scale(2000), ask)
	if err != nil {
		return nil, err
	}
	return []figure{
		judged(within(millis(median), 0.5), "%.3f ms", millis(median)),
		info("95 %% within %.3f ms", millis(p95)),
	}, nil
}

func queryGraph(ctx context.Context, b *bench) ([]figure, error) {
	s, err := loaded(ctx, b)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	size := 0
	ask := func(encoding string) func(int) error {
		return func(int) error {
			answer, err := s.query(ctx, "G", encoding)
			size = len(answer)
			return err
		}
	}
	if _, _, err := distribution(3, ask("")); err != nil {
		return nil, err
	}
	median, p95, err := distribution(b.scale(50), ask(""))
	if err != nil {
		return nil, err
	}
	plain := size
	packed, _, err := distribution(b.scale(20), ask("gzip"))
	if err != nil {
		return nil, err
	}
	answer, err := s.query(ctx, "G", "gzip")
	if err != nil {
		return nil, err
	}
	if reader, err := gzip.NewReader(bytes.NewReader(answer)); err == nil {
		if _, err := io.Copy(io.Discard, reader); err != nil {
			return nil, fmt.Errorf("gzip answer: %w", err)
		}
	}
	return []figure{
		judged(within(millis(median), 40), "%.1f ms", millis(median)),
		info("median of the whole answer read, %.2f MB of JSON; 95 %% within %.1f ms; with gzip %.1f ms, %.2f MB", megabytes(int64(plain)), millis(p95), millis(packed), megabytes(int64(size))),
	}, nil
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
