package output

import (
	"fmt"
	"io"
)

// Rebase is what became, or would become, of apps that are put on another run image.
type Rebase struct {
	DryRun bool  `json:"dryRun"`
	Check  bool  `json:"check"` // whether they are out of date was all that was asked
	Apps   []App `json:"apps"`
}

// App is what became of one app.
type App struct {
	App            string     `json:"app"`
	State          string     `json:"state"` // up to date, out of date (check), planned (dry run), saved, failed
	PreviousDigest string     `json:"previousDigest"`
	Digest         string     `json:"digest"` // what the app becomes
	From           AppBase    `json:"from"`
	Onto           AppNewBase `json:"onto"`
	PlatformAPI    string     `json:"platformAPI"`
	Images         []AppImage `json:"images"`
	Layers         AppLayers  `json:"layers"`
	Names          []AppName  `json:"names"`
	Warnings       []string   `json:"warnings"`
	Error          string     `json:"error"`
}

// AppBase is the base that an app was on, as its metadata tells it.
type AppBase struct {
	Reference string `json:"reference"`
	TopLayer  string `json:"topLayer"`
}

// text returns what people read of a base: its name, or where the metadata tells none, its top layer.
func (b AppBase) text() string {
	if b.Reference == "" {
		return "a run image with top layer " + Escape(b.TopLayer)
	}
	return Escape(b.Reference)
}

// AppNewBase is the base that an app is put on.
type AppNewBase struct {
	Image    string `json:"image"`
	Digest   string `json:"digest"`
	TopLayer string `json:"topLayer"`
}

// AppImage is one image of an app.
type AppImage struct {
	Platform       string `json:"platform"`
	PreviousDigest string `json:"previousDigest"`
	Digest         string `json:"digest"`
}

// AppLayers counts layers by how they get to the first name.
type AppLayers struct {
	There   int `json:"there"`
	Mounted int `json:"mounted"`
	Copied  int `json:"copied"`
}

// AppName is a name that an app is saved under.
type AppName struct {
	Name           string `json:"name"`
	State          string `json:"state"` // as of App
	PreviousDigest string `json:"previousDigest"`
	Error          string `json:"error"`
}

// WriteRebase writes what became of apps.
func WriteRebase(w io.Writer, r Rebase, f Format) error {
	switch {
	case f == JSON:
		return WriteJSON(w, completeRebase(r))
	case r.Check:
		return writeCheckText(w, r)
	}
	return writeRebaseText(w, r)
}

// completeRebase returns a copy of r with an empty list wherever there is none.
func completeRebase(r Rebase) Rebase {
	r.Apps = append([]App{}, r.Apps...)
	for i := range r.Apps {
		a := &r.Apps[i]
		a.Images = append([]AppImage{}, a.Images...)
		a.Names = append([]AppName{}, a.Names...)
		a.Warnings = append([]string{}, a.Warnings...)
	}
	return r
}

func writeCheckText(w io.Writer, r Rebase) error {
	b := newBuffer(w)
	count := map[string]int{}
	for _, a := range r.Apps {
		count[a.State]++
		b.put(fmt.Sprintf("%-11s  ", a.State), Escape(a.App))
		switch {
		case a.Error != "":
			b.put(": ", Escape(a.Error))
		case a.State == "up to date":
			b.put("  on ", Escape(a.Onto.Image))
		default:
			b.put("  ", Escape(a.Onto.Image), " is ", Escape(a.Onto.Digest), ", it is on ", a.From.text())
		}
		b.put("\n")
	}
	b.put(fmt.Sprintf("\n%d up to date, %d out of date, %d failed.\n", count["up to date"], count["out of date"], count["failed"]))
	return b.Flush()
}

func writeRebaseText(w io.Writer, r Rebase) error {
	b := newBuffer(w)
	for i, a := range r.Apps {
		if i > 0 {
			b.put("\n")
		}
		b.put("app      ", Escape(a.App), "\n")
		if a.Error != "" {
			b.put("failed   ", Escape(a.Error), "\n")
			continue
		}
		b.put("         ", Escape(a.PreviousDigest), "\n")
		b.put("from     ", a.From.text(), "\n")
		b.put("onto     ", Escape(a.Onto.Image), "\n         ", Escape(a.Onto.Digest), "\n")
		if a.PreviousDigest == a.Digest {
			b.put("becomes  what it is: up to date\n")
		} else {
			b.put("becomes  ", Escape(a.Digest), "\n")
			for _, i := range a.Images {
				if len(a.Images) > 1 {
					b.put("         ", Escape(i.Platform), " ", Escape(i.Digest), "\n")
				}
			}
			b.put(fmt.Sprintf("layers   %d there, %d mounted, %d copied\n", a.Layers.There, a.Layers.Mounted, a.Layers.Copied))
		}
		b.put("\n")
		for _, n := range a.Names {
			b.put(fmt.Sprintf("  %-10s  ", n.State), Escape(n.Name))
			if n.PreviousDigest != "" && n.PreviousDigest != a.Digest {
				b.put("  was ", Escape(n.PreviousDigest))
			}
			if n.Error != "" {
				b.put(": ", Escape(n.Error))
			}
			b.put("\n")
		}
	}
	if r.DryRun {
		b.put("\nDry run: nothing was written.\n")
	}
	return b.Flush()
}
