package output

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
)

// Rebase is the report of cip rebase, of a dry run or a real run.
type Rebase struct {
	DryRun bool  `json:"dryRun"`
	Check  bool  `json:"check"` // of --check, which computes no new app
	Apps   []App `json:"apps"`
}

// App is the result of rebasing one app.
type App struct {
	App            string     `json:"app"`
	State          string     `json:"state"` // up to date, out of date (check), planned (dry run), saved, failed
	PreviousDigest string     `json:"previousDigest"`
	Digest         string     `json:"digest"` // of the rebased app
	From           AppBase    `json:"from"`
	Onto           AppNewBase `json:"onto"`
	PlatformAPI    string     `json:"platformAPI"`
	Images         []AppImage `json:"images"`
	Layers         AppLayers  `json:"layers"`
	Names          []AppName  `json:"names"`
	Warnings       []string   `json:"warnings"`
	Error          string     `json:"error"`
}

// AppBase is the run image that an app was built on, according to its metadata.
type AppBase struct {
	Reference string `json:"reference"`
	TopLayer  string `json:"topLayer"`
}

// text returns the name of the base for people. If the metadata has no name, it returns the top layer.
func (b AppBase) text() string {
	if b.Reference == "" {
		return "a run image with top layer " + Escape(b.TopLayer)
	}
	return Escape(b.Reference)
}

// AppNewBase is the new run image of an app.
type AppNewBase struct {
	Image    string `json:"image"`
	Digest   string `json:"digest"`
	TopLayer string `json:"topLayer"`
}

// AppImage is the app for one platform.
type AppImage struct {
	Platform       string `json:"platform"`
	PreviousDigest string `json:"previousDigest"`
	Digest         string `json:"digest"`
}

// AppLayers counts layers by how they reached the repository of the first name.
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

// DescribeRebase returns the description of a rebased app, without names and layers.
func DescribeRebase(res *rebase.Result, app rebase.Reference) App {
	a := App{
		App: app.String(), PreviousDigest: image.DigestString(res.App.Digest), Digest: res.Digest.String(), PlatformAPI: res.PlatformAPI,
		From:     AppBase(res.From),
		Onto:     AppNewBase{Image: res.Onto.Image, Digest: res.Onto.Digest.String(), TopLayer: res.Onto.TopLayer},
		Warnings: res.Notes,
	}
	for i := range res.Images {
		img := &res.Images[i]
		a.Images = append(a.Images, AppImage{Platform: img.Platform, PreviousDigest: image.DigestString(img.Was), Digest: img.Manifest.Digest.String()})
	}
	return a
}

// SetNames sets the names of an app, and its state: failed if a name has failed, else
// the state of the first name that is not up to date.
func (a *App) SetNames(names []rebase.Name) {
	all := rebase.NameUpToDate
	for _, n := range names {
		one := AppName{Name: n.String(), State: n.State.String(), PreviousDigest: image.DigestString(n.Was)}
		if n.Err != nil {
			one.Error = strings.TrimSpace(n.Err.Error())
		}
		if n.State == rebase.NameFailed || all == rebase.NameUpToDate {
			all = n.State
		}
		a.Names = append(a.Names, one)
	}
	a.State = all.String()
}

// WriteRebase writes a rebase report as Text or JSON.
func WriteRebase(w io.Writer, r Rebase, f Format) error {
	switch {
	case f == JSON:
		return WriteJSON(w, completeRebase(r))
	case r.Check:
		return writeRebaseCheck(w, r)
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

func writeRebaseCheck(w io.Writer, r Rebase) error {
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
			newest, _, _ := strings.Cut(a.Onto.Image, "@")
			b.put("\n  on      ", shortDigests(a.From.text()), "\n  newest  ", shortDigests(Escape(newest+"@"+a.Onto.Digest)))
		}
		b.put("\n")
	}
	b.put(fmt.Sprintf("\n%d up to date, %d out of date, %d failed.\n", count["up to date"], count["out of date"], count["failed"]))
	return b.Flush()
}

// fullDigest matches a digest, and in a group the part that short texts have.
var fullDigest = regexp.MustCompile(`\b(sha256:[0-9a-f]{` + strconv.Itoa(shortest) + `})[0-9a-f]{` + strconv.Itoa(64-shortest) + `}\b`)

// shortDigests shortens all digests in a text for people.
func shortDigests(text string) string { return fullDigest.ReplaceAllString(text, "$1") }

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
			b.put("result   unchanged: already on this run image\n")
		} else {
			b.put("result   ", Escape(a.Digest), "\n")
			for _, i := range a.Images {
				if len(a.Images) > 1 {
					b.put("         ", Escape(i.Platform), " ", Escape(i.Digest), "\n")
				}
			}
			layers := "layers   %d already there, %d mounted, %d copied\n"
			if r.DryRun {
				layers = "layers   %d already there, %d to mount, %d to copy\n"
			}
			b.put(fmt.Sprintf(layers, a.Layers.There, a.Layers.Mounted, a.Layers.Copied))
		}
		b.put("\n")
		for _, n := range a.Names {
			b.put(fmt.Sprintf("  %-10s  ", n.State), Escape(n.Name), n.change(a.Digest))
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

// change returns what becomes of a name that is saved with a digest, for people.
func (n *AppName) change(digest string) string {
	switch {
	case n.State == "planned" && n.PreviousDigest == "":
		return "  is new"
	case n.PreviousDigest == "" || n.PreviousDigest == digest:
		return ""
	case n.State == "planned":
		return "  will move from " + Escape(n.PreviousDigest)
	case n.State == "saved":
		return "  moved from " + Escape(n.PreviousDigest)
	}
	return "  is at " + Escape(n.PreviousDigest)
}

// WriteRunImages writes one line for each candidate for a run image, with the reason why it was chosen or not.
func WriteRunImages(w io.Writer, all []rebase.Candidate) {
	for _, c := range all {
		where, why := "on another registry", "not chosen: an earlier one can be read"
		if c.SameHost {
			where = "on the app's registry"
		}
		switch {
		case c.Chosen:
			why = "chosen: the first that can be read"
		case c.Rejected != "":
			why = "rejected: " + c.Rejected
		}
		if c.Held != (v1.Hash{}) {
			why += "; it is " + c.Held.String()
		}
		fmt.Fprintf(w, "%s (%s, %s): %s\n", Escape(c.Name), c.Origin, where, Escape(why))
	}
}
