package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

var inputRE = regexp.MustCompile(`<(?:input|select)[^>]*>`)

// attack is text of a sender that wants to be markup.
const attack = `<img src=x onerror="document.title='taken'">`

// committed returns a repository whose branch main has a file promote.yaml.
func committed(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	repo := gittest.In(t, dir)
	repo.Branch("main", repo.Commit(1, map[string]string{"promote.yaml": text}))
	return dir
}

// auditedPage starts an auditor whose page has a verified and two rejected changes,
// and drift. It returns the digest that they are about.
func auditedPage(t *testing.T) (a *auditor, digest string) {
	t.Helper()
	reg := registrytest.New(t, registrytest.WithCatalog())
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0", "extra")
	manifest := writeManifest(t, entry("apple", apple.Digest, "1.0"), reg.Host+"/src", reg.Host+"/prod")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	a = startAuditor(t, "--url="+committed(t, string(text)), "--branch=main", "--path=promote.yaml", "--sweep-interval=1h", "--commit-url=https://git.example.com/{commit}?view=full")
	hook := func(kind, tag string) string {
		operator, _ := json.Marshal(attack) // a string can be marshalled
		return `{"type":"` + kind + `","operator":` + string(operator) + `,"event_data":{"resources":[{"digest":"` + apple.Digest + `","tag":"` + tag +
			`","resource_url":"` + reg.Host + `/prod/apple:` + tag + `"}],"repository":{"repo_full_name":"prod/apple"}}}`
	}
	for _, body := range []string{hook("PUSH_ARTIFACT", "1.0"), hook("PUSH_ARTIFACT", "rogue"), hook("DELETE_ARTIFACT", "1.0")} {
		if status, text := a.post(t, "/events/harbor", body); status != http.StatusAccepted {
			t.Fatalf("got %d %s, want 202", status, text)
		}
		a.next(t)
	}
	return a, apple.Digest
}

// TestAuditPage looks at the page with a browser: empty, full, filtered, and with text that attacks it.
func TestAuditPage(t *testing.T) {
	t.Parallel()
	if browserPath() == "" {
		t.Skip("no browser to test with")
	}
	b := startBrowser(t)
	empty := startAuditor(t, "--manifest="+writeManifest(t, "  []\n", "127.0.0.1:1/src", "127.0.0.1:1/prod"))
	contains := func(want ...string) {
		t.Helper()
		page := b.eval("document.documentElement.outerHTML")
		if err := json.Unmarshal([]byte(page), &page); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(page, w) {
				t.Errorf("got no %q, want it in the page:\n%s", w, page)
			}
		}
		if strings.Contains(page, "<img") || strings.Contains(page, "<title>taken") {
			t.Errorf("got text of an event as markup, want it escaped:\n%s", page)
		}
	}
	b.open(empty.url, 1280, "light")
	contains("No verdict in the last 24 hours.", "Destinations are not swept", ">Live<")

	broken := startAuditor(t, "--url="+committed(t, "- a: 1\n- b: 2\n"), "--branch=main", "--path=promote.yaml")
	b.open(broken.url, 1280, "light")
	empty.stop(t)
	contains(">Not ready<", "The manifests are broken:", "<li>promote.yaml:1:")

	a, digest := auditedPage(t)
	b.open(a.url, 1280, "light")
	broken.stop(t)
	b.await("document.querySelector('#drifts details')")
	contains("/prod/apple:1.0<", ":rogue<", ">REJECTED<", ">VERIFIED<", "deleting from a destination is never allowed", "<code>"+digest+"</code>",
		"push · reported by harbor · by user &lt;img src=x onerror=", "In this span: 2 rejected, 1 verified, 0 ignored.", "1 difference<", "extra tag", `class="rejected"`, "wanted by promote.yaml:8<")
	if got, want := b.eval("document.querySelector('#rows a').href"), regexp.MustCompile(`^"https://git\.example\.com/[0-9a-f]{40}\?view=full"$`); !want.MatchString(got) {
		t.Errorf("link of a commit: got %s, want %s", got, want)
	}
	for _, test := range []struct {
		query string
		rows  int
	}{
		{"", 3}, {"?verdict=VERIFIED", 1}, {"?q=rogue", 1}, {"?source=zot", 0}, {"?verdict=REJECTED&source=harbor&span=1h", 2},
		{"?span=yesterday", 3}, {"?span=all&verdict=REJECTED&q=" + digest, 2},
	} {
		b.open(a.url+"/"+test.query, 400, "dark")
		want := fmt.Sprintf("%d rows, 2 rejected, span %s", test.rows, b.eval("new URLSearchParams(location.search).get('span') || '24h'"))
		got := fmt.Sprintf("%s rows, %s rejected, span %s", b.eval("document.querySelectorAll('#rows tr').length"), b.eval("Number(document.getElementById('count-REJECTED').textContent)"), b.eval("document.getElementById('span').value"))
		if got != want {
			t.Errorf("%s: got %s, want %s", test.query, got, want)
		}
	}
	a.stop(t)
}

// contrasts returns the texts whose contrast is less than 4.5 (WCAG 2.2, 1.4.3).
const contrasts = `(() => {
	const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
	const numbers = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => { const [r, g, b] = numbers(c).map(channel); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (numbers(c)[3] !== 0) return c; } return 'rgb(255, 255, 255)'; };
	const bad = new Set();
	for (const e of document.querySelectorAll('body *')) {
		if (!e.checkVisibility() || e.closest('svg') || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
		const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) bad.add(e.outerHTML.slice(0, 120));
	}
	return [...bad];
})()`

// TestAuditPageSizes looks at the page on a desk and on a phone, light and dark: it
// needs no horizontal scrolling, text is legible, and drift comes first and is open.
func TestAuditPageSizes(t *testing.T) {
	t.Parallel()
	if browserPath() == "" {
		t.Skip("no browser to test with")
	}
	a, _ := auditedPage(t)
	b := startBrowser(t)
	for _, width := range []int{1280, 400} {
		for _, scheme := range []string{"light", "dark"} {
			b.open(a.url, width, scheme)
			b.await("document.querySelector('#drifts details')")
			for _, test := range []struct{ name, expression, want string }{
				{"pixels to scroll to the side", "document.documentElement.scrollWidth - document.documentElement.clientWidth", "0"},
				{"illegible text", contrasts, "[]"},
				{"background is dark", "getComputedStyle(document.body).backgroundColor !== 'rgb(245, 246, 248)'", fmt.Sprint(scheme == "dark")},
				{"first section", "document.querySelector('main > section').id", `"drift"`},
				{"open drift", "document.querySelectorAll('#drifts > details[open] li').length", "1"},
				{"rows of tiles", "new Set([...document.querySelectorAll('.tile')].map((e) => e.offsetTop)).size", map[int]string{1280: "1", 400: "2"}[width]},
				{"unequal tiles", "new Set([...document.querySelectorAll('.tile')].map((e) => e.offsetWidth)).size", "1"},
				{"times without a date and a zone", "[...document.querySelectorAll('time')].filter((e) => !/20\\d\\d.*(UTC|GMT)/.test(e.textContent)).length", "0"},
			} {
				if got := b.eval(test.expression); got != test.want {
					t.Errorf("%d pixels, %s: %s: got %s, want %s", width, scheme, test.name, got, test.want)
				}
			}
		}
	}
	a.stop(t)
}

// TestAuditPageByKeyboard uses the page with the keyboard alone.
func TestAuditPageByKeyboard(t *testing.T) {
	t.Parallel()
	if browserPath() == "" {
		t.Skip("no browser to test with")
	}
	a, digest := auditedPage(t)
	b := startBrowser(t)
	b.open(a.url, 1280, "light")
	b.await("document.querySelector('#drifts details')")
	equal := func(expression, want string) {
		t.Helper()
		if got := b.eval(expression); got != want {
			t.Errorf("%s: got %s, want %s", expression, got, want)
		}
	}
	b.tabTo(".skip")
	equal("document.activeElement.getBoundingClientRect().top >= 0", "true")
	b.tabTo("#drifts summary")
	equal("getComputedStyle(document.activeElement).outlineStyle", `"solid"`)
	b.press("Enter")
	equal("document.querySelector('#drifts details').open", "false")
	b.press("Enter")
	b.tabTo("#drifts .copy")
	b.press("Enter")
	b.await("document.activeElement.textContent !== 'Copy'")
	equal("getSelection().toString()", quoted(digest))
	b.tabTo("#span")
	b.press("ArrowDown")
	b.await("location.search.includes('span=yesterday')")
	for _, selector := range []string{"#q", "#filters [value=IGNORED]", "#source", "#pause"} {
		b.tabTo(selector)
	}
	b.press("Enter")
	b.await("document.getElementById('state').textContent === 'Paused'")
	b.tabTo("#rows .copy")
	b.tabTo("footer a")
	b.press("/")
	equal("document.activeElement.id", `"q"`)
	b.press("r", "o", "g", "u", "e")
	b.await("document.querySelectorAll('#rows tr').length === 1")
	equal("document.getElementById('q').value", `"rogue"`)
	a.stop(t)
}

// TestAuditPageIsAccessible looks at what assistive technology needs, without a browser.
func TestAuditPageIsAccessible(t *testing.T) {
	t.Parallel()
	manifest := writeManifest(t, "  []\n", "127.0.0.1:1/src", "127.0.0.1:1/prod")
	a := startAuditor(t, "--manifest="+manifest)
	page := a.get(t, "/")
	for _, want := range []string{`<html lang="en">`, `class="skip"`, `<h1>`, `<main>`, `aria-live="polite"`, `<noscript>`, `role="img"`, `scope="col"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, input := range inputRE.FindAllStringIndex(page, -1) {
		before := page[:input[0]]
		if strings.LastIndex(before, "<label") <= strings.LastIndex(before, "</label") {
			t.Errorf("got no label of %s, want one", page[input[0]:input[1]])
		}
	}
	text := page
	for _, file := range []string{"style.css", "page.js", "dom.js", "drift.js", "timeline.js", "verdicts.js"} {
		text += a.get(t, "/"+file)
	}
	text = strings.ReplaceAll(text, "'http://www.w3.org/2000/svg'", "")
	for _, elsewhere := range []string{"http://", "https://"} {
		if strings.Contains(text, elsewhere) {
			t.Errorf("got %s in the page, want no address elsewhere", elsewhere)
		}
	}
	a.stop(t)
}
