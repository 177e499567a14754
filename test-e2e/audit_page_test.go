package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// browserVariable names the variable that holds the path of a Chromium.
const browserVariable = "CIP_TEST_BROWSER"

// browser is the path of a Chromium; empty: there is none to test with.
func browser() string {
	if path := os.Getenv(browserVariable); path != "" {
		return path
	}
	path, _ := exec.LookPath("chromium")
	return path
}

// loadPage returns a page's document as it is after some seconds of the browser's time.
func loadPage(t testing.TB, url string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir=" + dir,
		"--enable-logging=stderr", "--virtual-time-budget=6000", "--dump-dom",
	}, flags...)
	cmd := exec.Command(browser(), append(args, url)...)
	cmd.Env = append(environment(dir), "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", browser(), err)
	}
	limit := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", browser(), err, stderr.String())
	}
	for _, line := range strings.Split(stderr.String(), "\n") {
		if strings.Contains(line, ":CONSOLE") {
			t.Errorf("the page's console: %s", line)
		}
	}
	return stdout.String()
}

var (
	rowRE   = regexp.MustCompile(`<tr[^>]* data-seq=`)
	inputRE = regexp.MustCompile(`<(?:input|select)[^>]*>`)
	barRE   = regexp.MustCompile(`<rect [^>]*class="rejected"`)
)

// TestAuditPage looks at the page with a browser: empty, full, filtered, and with text that attacks it.
func TestAuditPage(t *testing.T) {
	t.Parallel()
	if browser() == "" {
		t.Skip("no browser to test with")
	}
	reg := registrytest.New(t, registrytest.WithCatalog())
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0", "extra")
	manifest := writeManifest(t, entry("apple", apple.Digest, "1.0"), reg.Host+"/src", reg.Host+"/prod")
	a := startAuditor(t, "--manifest="+manifest, "--sweep-interval=1h")
	page := loadPage(t, a.url)
	for _, want := range []string{"No verdict yet.", `data-polled="yes"`, ">Live<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the empty page does not hold %q:\n%s", want, page)
		}
	}
	const attack = `<img src=x onerror="document.title='taken'">`
	post := func(body string) {
		resp, err := http.Post(a.url+"/events/harbor", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		a.next(t)
	}
	hook := func(kind, tag string) string {
		return `{"type":"` + kind + `","operator":"` + strings.ReplaceAll(attack, `"`, `\"`) + `","event_data":{"resources":[{"digest":"` + apple.Digest + `","tag":"` + tag +
			`","resource_url":"` + reg.Host + `/prod/apple:` + tag + `"}],"repository":{"repo_full_name":"prod/apple"}}}`
	}
	post(hook("PUSH_ARTIFACT", "1.0"))
	post(hook("PUSH_ARTIFACT", "rogue"))
	post(hook("DELETE_ARTIFACT", "1.0"))
	page = loadPage(t, a.url)
	for _, want := range []string{
		"/prod/apple:1.0<", ":rogue<", ">REJECTED<", ">VERIFIED<", "agrees with manifest", "deleting from a destination is never allowed",
		"done by &lt;img src=x onerror=", "In this span: 2 rejected, 1 verified, 0 ignored.", "1 finding", "extra tag",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not hold %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "<img") || strings.Contains(page, "<title>taken") {
		t.Errorf("text of an event is markup:\n%s", page)
	}
	if n := len(rowRE.FindAllString(page, -1)); n != 3 {
		t.Errorf("%d verdicts are shown, want 3", n)
	}
	if !barRE.MatchString(page) {
		t.Error("the timeline has no bar of rejected changes")
	}
	for _, filter := range []struct {
		query string
		rows  int
	}{{"?verdict=VERIFIED", 1}, {"?q=rogue", 1}, {"?source=zot", 0}, {"?verdict=REJECTED&source=harbor", 2}} {
		page := loadPage(t, a.url+"/"+filter.query, "--force-dark-mode", "--window-size=400,800")
		if n := len(rowRE.FindAllString(page, -1)); n != filter.rows {
			t.Errorf("%s: %d verdicts are shown, want %d", filter.query, n, filter.rows)
		}
	}
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
			t.Errorf("the page does not hold %q", want)
		}
	}
	for _, input := range inputRE.FindAllStringIndex(page, -1) {
		before := page[:input[0]]
		if strings.LastIndex(before, "<label") <= strings.LastIndex(before, "</label") {
			t.Errorf("%s has no label", page[input[0]:input[1]])
		}
	}
	for _, elsewhere := range []string{"http://", "https://"} {
		text := strings.ReplaceAll(page+a.get(t, "/style.css")+a.get(t, "/page.js"), "http://www.w3.org/2000/svg", "")
		text = strings.ReplaceAll(text, "'http://www.w3.org/2000/svg'", "")
		if strings.Contains(text, elsewhere) {
			t.Errorf("the page names something elsewhere: %s", elsewhere)
		}
	}
	a.stop(t)
}
