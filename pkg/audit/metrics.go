package audit

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// metrics are the metrics for Prometheus.
//
// Values of the store and the manifests are read when Prometheus asks for them.
type metrics struct {
	registry *prometheus.Registry
	events   *prometheus.CounterVec
	verdicts *prometheus.CounterVec
	refused  *prometheus.CounterVec
	unjudged *prometheus.CounterVec
	alerts   *prometheus.CounterVec
	judging  *prometheus.HistogramVec
	swept    prometheus.Gauge
}

func newMetrics(a *Auditor) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		events:   counter("cip_audit_events_total", "Events received, including repeated ones.", "source"),
		verdicts: counter("cip_audit_verdicts_total", "Verdicts by outcome.", "verdict", "source"),
		refused:  counter("cip_audit_refused_total", "Notifications refused, by status.", "status"),
		unjudged: counter("cip_audit_unjudged_total", "Events that are neither a push, a replication nor a deletion, by the system's name for them; unknown: kinds that cip does not know.", "source", "kind"),
		alerts:   counter("cip_audit_alerts_total", "Alerts sent, and tries that failed.", "result"),
		judging: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cip_audit_judging_seconds", Help: "Time to judge an event, or to fail.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"result"}),
		swept: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cip_audit_sweep_timestamp_seconds", Help: "When the last sweep ended."}),
	}
	for _, o := range []outcome{verified, rejected, ignored} {
		m.verdicts.WithLabelValues(string(o), event.PubSub)
	}
	dropped := func(kind string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cip_audit_dropped_total", ConstLabels: prometheus.Labels{"what": kind},
			Help: "What was dropped: events that are equal to many waiting ones, verdicts on rejected changes above the limit, alerts that one alert counts.",
		}, func() float64 { return float64(n.Load()) })
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m.registry.MustRegister(m.events, m.verdicts, m.refused, m.unjudged, m.alerts, m.judging, m.swept,
		dropped("event", &a.store.dropped.events), dropped("verdict", &a.store.dropped.verdicts), dropped("alert", &a.store.dropped.alerts),
		gauge("cip_audit_pending", "Events that wait for a verdict.", func() float64 { return float64(a.store.Pending()) }),
		gauge("cip_audit_retrying", "Events that could not be judged yet.", func() float64 {
			n, _ := a.worker.state()
			return float64(n)
		}),
		gauge("cip_audit_alerts_waiting", "Alerts that wait to be sent.", func() float64 { return float64(a.store.outgoing.Load()) }),
		gauge("cip_audit_manifests_timestamp_seconds", "When the manifests in use were read.", func() float64 {
			r, _ := a.manifests.state()
			if r == nil {
				return 0
			}
			return float64(r.Read.UnixMilli()) / 1000
		}),
		gauge("cip_audit_manifests_good", "Whether the last reading of the manifests succeeded.", func() float64 {
			if r, err := a.manifests.state(); r == nil || err != nil {
				return 0
			}
			return 1
		}),
		&driftCollector{a, prometheus.NewDesc("cip_audit_drift", "Findings of the last sweep.", []string{"destination", "kind"}, nil)},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

func (m *metrics) verdict(r record) { m.verdicts.WithLabelValues(string(r.Verdict), r.Source).Inc() }

func (m *metrics) judged(took time.Duration, err error) {
	m.judging.WithLabelValues(result(err)).Observe(took.Seconds())
}

func (m *metrics) alert(err error) { m.alerts.WithLabelValues(result(err)).Inc() }

// unjudgedEvent counts an event that is not judged.
func (m *metrics) unjudgedEvent(source, kind string) {
	m.unjudged.WithLabelValues(source, label(kind)).Inc()
}

// label returns the value of a label for a name of several words.
func label(name string) string { return strings.ReplaceAll(name, " ", "_") }

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "done"
}

// driftCollector collects the numbers of findings of the last sweep.
type driftCollector struct {
	auditor *Auditor
	desc    *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *driftCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *driftCollector) Collect(ch chan<- prometheus.Metric) {
	drifts, err := c.auditor.store.drifts()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.desc, err)
		return
	}
	for _, d := range drifts {
		counts := map[driftKind]int{extraTag: 0, extraDigest: 0, movedTag: 0, missingTag: 0, lostChild: 0, unread: 0}
		for _, f := range d.Findings {
			counts[f.Kind]++
		}
		for kind, n := range counts {
			ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), d.Destination, label(string(kind)))
		}
	}
}
