package output

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	barPace = 100 * time.Millisecond // between two drawings of bars: quick enough to be seen moving
	logPace = 30 * time.Second       // between two log lines about progress
	maxBars = 16                     // of hosts; further hosts share one, so that the bars fit on a terminal

	// atOnce images, or fewer if fewer are left, count by their bytes. More are copied at a
	// time, but the bytes of those that were not begun are not known yet.
	atOnce = 4
)

// HostProgress is the progress of writing to one host.
type HostProgress struct {
	Host               string
	Images, ImagesDone int
	Bytes, BytesDone   int64 // Bytes may grow
}

// Progress shows the progress of a run. A nil *Progress is valid and shows nothing.
type Progress struct {
	pace time.Duration
	show func(*phase)

	mu    sync.Mutex
	hosts func() []HostProgress
	phase *phase
}

// phase is a part of a run.
type phase struct {
	what        string
	total       int // steps; 0: unknown
	done        atomic.Int64
	hosts       func() []HostProgress
	began       time.Time
	meters      map[string]*meter // by host
	stop, ended chan struct{}

	mu   sync.Mutex
	rows []progressRow
	bars *mpb.Progress // nil: not drawn yet
	each []*mpb.Bar    // of rows
}

// NewProgress returns a Progress with bars on a terminal. It is nil if w is not a terminal.
func NewProgress(w io.Writer) *Progress {
	if !IsTerminal(w) {
		return nil
	}
	return &Progress{pace: barPace, show: func(ph *phase) { ph.draw(w) }}
}

// NewProgressLog returns a Progress that logs a line about each host from time to time.
func NewProgressLog(log func(line string)) *Progress {
	return &Progress{pace: logPace, show: func(ph *phase) {
		for _, line := range ph.lines() {
			log(line)
		}
	}}
}

// SetHosts sets the function that returns the hosts that are written to, if any. It may
// be called at any time.
func (p *Progress) SetHosts(hosts func() []HostProgress) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts = hosts
}

// Start begins a phase of the run, such as "promoting". The number of steps may be 0 if
// it is not known.
func (p *Progress) Start(what string, steps int) {
	if p == nil {
		return
	}
	p.Finish()
	p.mu.Lock()
	defer p.mu.Unlock()
	ph := &phase{
		what: Escape(what), total: steps, hosts: p.hosts, began: time.Now(),
		meters: map[string]*meter{}, stop: make(chan struct{}), ended: make(chan struct{}),
	}
	p.phase = ph
	go func() {
		defer close(ph.ended)
		tick := time.NewTicker(p.pace)
		defer tick.Stop()
		for {
			select {
			case <-ph.stop:
				return
			case <-tick.C:
				ph.update()
				p.show(ph)
			}
		}
	}()
}

// Step counts one step. It is safe for concurrent use.
func (p *Progress) Step() {
	if ph := p.current(); ph != nil {
		ph.done.Add(1)
	}
}

// Finish ends the phase and removes its bars.
func (p *Progress) Finish() {
	ph := p.current()
	if ph == nil {
		return
	}
	p.mu.Lock()
	p.phase = nil
	p.mu.Unlock()
	close(ph.stop)
	<-ph.ended
	for _, b := range ph.each {
		b.Abort(true)
	}
	if ph.bars != nil {
		ph.bars.Wait()
	}
}

func (p *Progress) current() *phase {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase
}

// Writer returns a writer for log lines on the same terminal. It writes above the bars.
func (p *Progress) Writer(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return lineWriter{p, w}
}

// lineWriter writes log lines to w without mixing them with the bars of p.
type lineWriter struct {
	p *Progress
	w io.Writer
}

// Write writes b above the bars, or directly if there are none.
func (s lineWriter) Write(b []byte) (int, error) {
	if ph := s.p.current(); ph != nil {
		ph.mu.Lock()
		bars := ph.bars
		ph.mu.Unlock()
		if bars != nil {
			if n, err := bars.Write(b); err == nil {
				return n, nil
			}
		}
	}
	return s.w.Write(b)
}

// update makes the rows.
func (ph *phase) update() {
	now := time.Now()
	done := int(ph.done.Load())
	head := progressRow{label: ph.what + " " + clock(now.Sub(ph.began)), ratio: -1, texts: [progressColumns]string{1: fmt.Sprint(done)}}
	if ph.total > 0 {
		head.set(min(1, float64(done)/float64(ph.total)))
		head.texts[1] = fmt.Sprintf("%d/%d", done, ph.total)
	}
	rows := []progressRow{head}
	if ph.hosts != nil {
		for _, h := range fold(ph.hosts()) {
			rows = append(rows, h.shown(ph.meter(h.Host).rate(now, h.BytesDone)))
		}
	}
	ph.mu.Lock()
	defer ph.mu.Unlock()
	ph.rows = rows
}

func (ph *phase) meter(host string) *meter {
	if ph.meters[host] == nil {
		ph.meters[host] = &meter{samples: []sample{{at: ph.began}}}
	}
	return ph.meters[host]
}

// fold returns the first hosts, and one for all others if there are too many.
func fold(hosts []HostProgress) []HostProgress {
	if len(hosts) <= maxBars {
		return hosts
	}
	rest := HostProgress{Host: fmt.Sprintf("%d other hosts", len(hosts)-maxBars+1)}
	for _, h := range hosts[maxBars-1:] {
		rest.Images += h.Images
		rest.ImagesDone += h.ImagesDone
		rest.Bytes += h.Bytes
		rest.BytesDone += h.BytesDone
	}
	return append(hosts[:maxBars-1:maxBars-1], rest)
}

// shown returns the row of a host with a rate in bytes per second.
func (h HostProgress) shown(rate float64) progressRow {
	r := progressRow{label: Escape(h.Host)}
	done := float64(h.ImagesDone)
	if h.Bytes > 0 {
		done += float64(min(atOnce, h.Images-h.ImagesDone)) * float64(h.BytesDone) / float64(h.Bytes)
	}
	r.set(done / float64(cmp.Or(h.Images, 1)))
	r.texts[1] = fmt.Sprintf("%d/%s", h.ImagesDone, plural(h.Images, "image", "images"))
	if h.Bytes > 0 {
		r.texts[2] = part(h.BytesDone, h.Bytes)
		r.texts[3] = size(int64(rate)) + "/s"
	}
	return r
}

// part returns the bytes that are done, of all, in the unit of all.
func part(done, all int64) string {
	text := size(all)
	_, unit, _ := strings.Cut(text, " ")
	n := strings.Index("BKMGTPE", unit[:1])
	if n == 0 {
		return fmt.Sprintf("%d/%s", done, text)
	}
	return fmt.Sprintf("%.1f/%s", float64(done)/float64(int64(1)<<(10*n)), text)
}

// lines returns the rows as log lines. The row of the phase is left out if there are hosts.
func (ph *phase) lines() []string {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	var lines []string
	for i, r := range ph.rows {
		name := ph.what
		if i > 0 {
			name += " to " + r.label
		}
		if i > 0 || len(ph.rows) == 1 {
			lines = append(lines, name+": "+r.text(", "))
		}
	}
	return lines
}

// draw adds the bars that are missing. Each draws its row by itself, with ph.mu held.
func (ph *phase) draw(w io.Writer) {
	if ph.bars == nil {
		out := cupwriter.New(carriage{w}, false)
		if f, ok := w.(interface{ Fd() uintptr }); ok {
			out.SetTermFd(int(f.Fd()))
		}
		bars := mpb.New(mpb.WithConsoleWriter(out), mpb.WithRefreshRate(barPace))
		ph.mu.Lock()
		ph.bars = bars
		ph.mu.Unlock()
	}
	for i := len(ph.each); i < len(ph.rows); i++ {
		bar, err := ph.bars.Add(0, mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			ph.mu.Lock()
			defer ph.mu.Unlock()
			if i >= len(ph.rows) {
				return nil
			}
			_, err := io.WriteString(w, layout(ph.rows, s.AvailableWidth)[i])
			return err
		}), mpb.BarFillerTrim())
		if err != nil {
			return // a run goes on without bars
		}
		ph.each = append(ph.each, bar)
	}
}

// carriage writes from the first column on, where the cursor may not be: a terminal
// shows ^C when a user interrupts.
type carriage struct{ io.Writer }

// Write returns the carriage and writes b.
func (c carriage) Write(b []byte) (int, error) {
	n, err := io.WriteString(c.Writer, "\r"+string(b))
	return max(0, n-1), err
}

// meter measures a rate.
type meter struct{ samples []sample }

type sample struct {
	at    time.Time
	bytes int64
}

// meterTime is the time that a rate is measured over, at least.
const meterTime = 5 * time.Second

// rate adds a sample and returns the bytes per second since an earlier one. The first
// sample must be there.
func (m *meter) rate(now time.Time, bytes int64) float64 {
	m.samples = append(m.samples, sample{now, bytes})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= meterTime {
		m.samples = m.samples[1:]
	}
	first := m.samples[0]
	if d := now.Sub(first.at).Seconds(); d > 0 {
		return float64(bytes-first.bytes) / d
	}
	return 0
}

// clock returns a duration as minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
