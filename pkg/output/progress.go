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

// Progress shows the progress of a run. A nil *Progress is valid and shows nothing.
type Progress struct {
	w   io.Writer
	mu  sync.Mutex
	bar *progressbar.ProgressBar // nil: nothing is shown
}

// NewProgress returns a Progress that draws on w. It is nil if w is not a terminal or enabled is false.
func NewProgress(w io.Writer, enabled bool) *Progress {
	if !enabled || !IsTerminal(w) {
		return nil
	}
	return &Progress{w: w}
}

// Start begins a phase of the run, such as "promoting", with a number of steps.
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

// Step counts one step. It is safe for concurrent use.
func (p *Progress) Step() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Add(1) // a run goes on without a bar
	}
}

// Finish ends the phase and clears the line.
func (p *Progress) Finish() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.bar = nil
}

// Writer returns a writer for log lines on the same terminal. It clears the bar before
// each line; the next step draws it again.
func (p *Progress) Writer(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return lineWriter{p, w}
}

func (p *Progress) clear() {
	if p.bar != nil && !p.bar.IsFinished() {
		_ = p.bar.Clear()
	}
}

// lineWriter writes log lines to w without mixing them with the bar of p.
type lineWriter struct {
	p *Progress
	w io.Writer
}

// Write clears the bar's line and writes b.
func (s lineWriter) Write(b []byte) (int, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.clear()
	return s.w.Write(b)
}
