package output

import (
	"fmt"
	"io"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/verify"
)

// VerifyFormat parses the format of a verification, in any case. The default is Text.
func VerifyFormat(s string) (Format, error) {
	return choose(s, "verification", Text, JSON, Markdown)
}

// Verification is the result of verifying images.
type Verification struct {
	Chains []verify.Chain
	Named  bool // the user named the images: Text shows the intact chains, too
}

// WriteVerification writes a verification. Only Text has colors.
func WriteVerification(w io.Writer, v Verification, f Format, color bool) error {
	switch f {
	case Text:
		return writeChains(w, v, color)
	case JSON:
		return WriteJSON(w, append([]verify.Chain{}, v.Chains...))
	case Markdown:
		return writeChainTables(w, v)
	}
	return fmt.Errorf("a verification has no output format %q", f)
}

// split returns the broken chains and the others.
func (v Verification) split() (broken, intact []verify.Chain) {
	for _, c := range v.Chains {
		if c.Verdict == verify.Intact {
			intact = append(intact, c)
		} else {
			broken = append(broken, c)
		}
	}
	return broken, intact
}

// sentence returns the numbers of a verification.
func (v Verification) sentence() string {
	broken, intact := v.split()
	var l list
	l.add(len(intact), "ok", "ok")
	l.add(len(broken), "broken", "broken")
	if len(l) == 0 {
		return "nothing to verify"
	}
	return l.String()
}

// linkColors are the colors of statuses.
var linkColors = map[verify.Status]string{verify.OK: green, verify.Missing: red, verify.Invalid: red, verify.NotChecked: yellow}

// statusWord returns a status for people.
func statusWord(s verify.Status) string {
	if s == verify.NotChecked {
		return "not checked"
	}
	return string(s)
}

func writeChains(w io.Writer, v Verification, color bool) error {
	b := newBuffer(w)
	t := palette(color)
	shown := v.Chains
	if !v.Named {
		shown, _ = v.split()
	}
	for _, c := range shown {
		verdict := t.paint(green, c.Verdict)
		if c.Verdict != verify.Intact {
			verdict = t.paint(red, c.Verdict)
		}
		b.put(Escape(c.Reference), ": ", verdict, "\n")
		if c.Digest != "" {
			b.put(fmt.Sprintf("  %-12s%s\n", "digest", Escape(c.Digest)))
		}
		for _, l := range c.Links {
			status := t.paint(linkColors[l.Status], fmt.Sprintf("%-13s", statusWord(l.Status)))
			b.put(fmt.Sprintf("  %-12s", l.Kind), status, Escape(l.Detail), "\n")
		}
		for _, n := range c.Notes {
			b.put("  note: ", Escape(n), "\n")
		}
	}
	b.put(v.sentence(), "\n")
	return b.Flush()
}

func writeChainTables(w io.Writer, v Verification) error {
	var p page
	p.WriteString("### cip verify: " + v.sentence() + "\n")
	broken, intact := v.split()
	const head = "| image | link | status | detail |\n| --- | --- | --- | --- |\n"
	p.section("\n#### Broken\n\n"+head, len(broken), "images", func(i int) string { return chainRows(broken[i]) })
	if v.Named {
		p.section("\n#### Verified\n\n"+head, len(intact), "images", func(i int) string { return chainRows(intact[i]) })
		_, err := io.WriteString(w, p.String())
		return err
	}
	p.details(plural(len(intact), "image", "images")+" verified", len(intact), "images", func(i int) string {
		return "- " + code(intact[i].Reference, errorSize) + "\n"
	})
	_, err := io.WriteString(w, p.String())
	return err
}

// chainRows returns the table rows of a chain. The first one names the image.
func chainRows(c verify.Chain) string {
	name, rows := code(c.Reference, errorSize), ""
	for _, l := range c.Links {
		rows += "| " + name + " | " + string(l.Kind) + " | " + statusWord(l.Status) + " | " + code(l.Detail, errorSize) + " |\n"
		name = ""
	}
	for _, n := range c.Notes {
		rows += "| | note | | " + code(n, errorSize) + " |\n"
	}
	return rows
}
