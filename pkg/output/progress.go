package output

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	barWidth = 30                     // columns, less where the terminal has no room for them
	barPace  = 100 * time.Millisecond // between two pictures: quick enough to be seen moving
)

// Progress is told how far a run is, and shows it. A nil *Progress is valid and silent.
type Progress struct {
	w   io.Writer
	mu  sync.Mutex
	bar *progressbar.ProgressBar // nil: nothing is shown
}

// NewProgress returns a Progress that draws on w; nil unless enabled and w is a terminal.
func NewProgress(w io.Writer, enabled bool) *Progress {
	if !enabled || !IsTerminal(w) {
		return nil
	}
	return &Progress{w: w}
}

// Start begins a part of the run, "reading" or "promoting", of so many steps.
func (p *Progress) Start(what string, total int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	if total <= 0 {
		p.bar = nil
		return
	}
	p.bar = progressbar.NewOptions(total,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetDescription(Escape(what)),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionThrottle(barPace),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetRenderBlankState(true),
	)
}

// Step says that one step is done. It is safe for concurrent use.
func (p *Progress) Step() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Add(1) // a bar that cannot be drawn is no reason to stop
	}
}

// Finish ends the part and clears the line.
func (p *Progress) Finish() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.bar = nil
}

// Writer returns a writer to w, for log lines on the same terminal: the bar makes
// room for each and comes back with the next step.
func (p *Progress) Writer(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return besides{p, w}
}

func (p *Progress) clear() {
	if p.bar != nil && !p.bar.IsFinished() {
		_ = p.bar.Clear()
	}
}

// besides writes to w what must not run into the bar of p.
type besides struct {
	p *Progress
	w io.Writer
}

// Write clears the bar's line and writes b.
func (s besides) Write(b []byte) (int, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.clear()
	return s.w.Write(b)
}
