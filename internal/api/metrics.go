package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts what the server does. Every drop has a counter.
type metrics struct {
	handler http.Handler

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	unrouted prometheus.Counter
	panics   prometheus.Counter

	sockets     *prometheus.GaugeVec
	received    *prometheus.CounterVec
	sent        prometheus.Counter
	dropped     *prometheus.CounterVec
	silent      prometheus.Counter
	complaints  prometheus.Counter
	events      *prometheus.CounterVec
	batches     prometheus.Histogram
	filters     prometheus.Gauge
	evaluations prometheus.Counter
	resyncs     prometheus.Counter
	tooSlow     prometheus.Counter
	lagged      prometheus.Counter
	refused     *prometheus.CounterVec
	flowsSent   prometheus.Counter
	flowsLost   *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry, s *Server) (*metrics, error) {
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m := &metrics{
		handler:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true}),
		requests: counters("weft_http_requests_total", "Answered requests.", "method", "route", "code"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weft_http_request_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route"}),
		unrouted:    counter("weft_http_unrouted_total", "Requests for paths or methods that are not served."),
		panics:      counter("weft_http_panics_total", "Requests that failed by a bug of the server."),
		sockets:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weft_websockets", Help: "Open WebSockets."}, []string{"endpoint"}),
		received:    counters("weft_websocket_received_total", "Messages from WebSocket clients.", "endpoint", "kind"),
		sent:        counter("weft_websocket_sent_total", "Messages to WebSocket clients."),
		dropped:     counters("weft_websocket_dropped_total", "Messages that were not sent, as the client did not read.", "cause"),
		silent:      counter("weft_websocket_silent_total", "WebSockets closed as their client was silent for too long."),
		complaints:  counter("weft_publisher_errors_total", "Messages of clients that were refused."),
		events:      counters("weft_publisher_events_total", "Events of publishers by what became of them.", "outcome"),
		batches:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "weft_publisher_batch_events", Help: "Events in a publisher's batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 7)}),
		filters:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "weft_subscriber_filters", Help: "Different filters of subscribers."}),
		evaluations: counter("weft_subscriber_evaluations_total", "Evaluations of subscribers' filters on the whole graph."),
		resyncs:     counter("weft_subscriber_resyncs_total", "Slow subscribers that were given the whole state."),
		tooSlow:     counter("weft_subscriber_too_slow_total", "Subscribers closed as they lost their place too often."),
		refused:     counters("weft_http_busy_total", "Requests refused with 503, as too much was going on.", "what"),
		flowsSent:   counter("weft_flow_subscriber_flows_total", "Flows queued for flow subscribers, once for each."),
		flowsLost:   counters("weft_flow_subscriber_lost_total", "Flows that flow subscribers did not get, as the client or the server did not keep up.", "cause"),
		lagged:      counter("weft_subscriber_lagged_total", "Times the server itself lost its place in the graph's log."),
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.duration, m.unrouted, m.panics, m.sockets, m.received, m.sent, m.dropped, m.silent,
		m.complaints, m.events, m.batches, m.filters, m.evaluations, m.resyncs, m.tooSlow, m.lagged, m.refused,
		m.flowsSent, m.flowsLost,
		gauge("weft_queries_running", "Queries being evaluated.", func() float64 { return float64(len(s.queries.slots)) }),
		gauge("weft_queries_waiting", "Queries that wait for their turn.", func() float64 { return float64(s.queries.waiting.Load()) }),
		gauge("weft_large_answers", "Large answers being written.", func() float64 { return float64(len(s.answers.slots)) }),
		gauge("weft_http_body_bytes", "Bytes of large request bodies that are held.", func() float64 { return float64(s.bodies.inUse()) }),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// route returns what counts the answers of a route.
func (m *metrics) route(entry route) func(status int, took time.Duration) {
	duration := m.duration.WithLabelValues(entry.method, entry.path)
	ws := entry.doc.websocket
	return func(status int, took time.Duration) {
		m.requests.WithLabelValues(entry.method, entry.path, strconv.Itoa(status)).Inc()
		if !ws { // a WebSocket lasts as long as its client wants
			duration.Observe(took.Seconds())
		}
	}
}
