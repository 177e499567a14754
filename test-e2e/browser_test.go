package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// browserVariable names the variable that holds the path of a Chromium.
const browserVariable = "CIP_TEST_BROWSER"

// browserPath is the path of a Chromium; empty: there is none to test with.
func browserPath() string {
	if path := os.Getenv(browserVariable); path != "" {
		return path
	}
	path, _ := exec.LookPath("chromium")
	return path
}

// browser is a tab of a headless Chromium, driven by the DevTools protocol over a pipe.
type browser struct {
	t       testing.TB
	in      *os.File
	out     *bufio.Reader
	calls   int
	session string
}

// startBrowser starts a Chromium with an empty tab.
func startBrowser(t testing.TB) *browser {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: helper processes of the browser may write for a moment after it was
	// killed, and a directory that cannot be removed would fail the test.
	dir, err := os.MkdirTemp("", "cip-browser-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(browserPath(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir="+dir, "--remote-debugging-pipe")
	cmd.Env = append(environment(dir), "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as the flag wants them
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", browserPath(), err)
	}
	_, _ = theirIn.Close(), theirOut.Close() // the browser has its own
	limit := time.AfterFunc(5*runLimit, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		limit.Stop()
		_, _ = cmd.Process.Kill(), cmd.Wait()
		_, _ = in.Close(), out.Close()
		_ = os.RemoveAll(dir)
	})
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	var target struct {
		ID string `json:"targetId"`
	}
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		ID string `json:"sessionId"`
	}
	b.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	b.session = attached.ID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.do(domain+".enable", map[string]any{})
	}
	b.do("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true})
	return b
}

// call calls a method of the protocol. Messages on the page's console are failures.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.calls++
	message := map[string]any{"id": b.calls, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	raw, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(raw, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		raw, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: the browser has ended: %v", method, err)
		}
		var answer struct {
			ID     int             `json:"id"`
			Method string          `json:"method"`
			Result json.RawMessage `json:"result"`
			Error  json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(raw[:len(raw)-1], &answer); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case answer.Method == "Runtime.exceptionThrown", answer.Method == "Runtime.consoleAPICalled", answer.Method == "Log.entryAdded":
			b.t.Errorf("the page's console: %s", raw)
		case answer.ID != b.calls:
		case answer.Error != nil:
			b.t.Fatalf("%s: %s", method, answer.Error)
		default:
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatal(err)
			}
			return
		}
	}
}

// do calls a method whose result does not matter.
func (b *browser) do(method string, params map[string]any) {
	b.t.Helper()
	b.call(method, params, &struct{}{})
}

// open loads a page with a viewport and a colour scheme, and waits until it has polled.
func (b *browser) open(url string, width int, scheme string) {
	b.t.Helper()
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false})
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
	b.do("Page.navigate", map[string]any{"url": url})
	b.await("document.readyState === 'complete' && document.body.dataset.polled === 'yes'")
}

// eval returns the value of an expression on the page as JSON.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if answer.Exception != nil {
		b.t.Fatalf("%s: %s", expression, answer.Exception)
	}
	return string(answer.Result.Value)
}

// await waits until a condition holds on the page.
func (b *browser) await(condition string) {
	b.t.Helper()
	got := b.eval(`new Promise((done) => {
		const end = Date.now() + 60e3;
		const look = () => (` + condition + `) ? done('yes') : Date.now() > end ? done(document.body.innerText) : setTimeout(look, 20);
		look();
	})`)
	if got != `"yes"` {
		b.t.Fatalf("want %s, which never holds; got the page:\n%s", condition, got)
	}
}

// keys are the codes of keys that are not characters.
var keys = map[string]int{"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}

// press presses keys, one after the other.
func (b *browser) press(names ...string) {
	b.t.Helper()
	for _, name := range names {
		key := map[string]any{"type": "keyDown", "key": name, "code": name, "windowsVirtualKeyCode": keys[name]}
		switch {
		case name == "Enter":
			key["text"] = "\r"
		case len(name) == 1:
			key["text"] = name
		}
		b.do("Input.dispatchKeyEvent", key)
		key["type"] = "keyUp"
		delete(key, "text")
		b.do("Input.dispatchKeyEvent", key)
	}
}

// tabTo presses the tab key until an element has the focus.
func (b *browser) tabTo(selector string) {
	b.t.Helper()
	const most = 100
	var seen []string
	for range most {
		b.press("Tab")
		if b.eval("document.activeElement.matches("+quoted(selector)+")") == "true" {
			return
		}
		seen = append(seen, b.eval("document.activeElement.outerHTML.slice(0, 80)"))
	}
	b.t.Fatalf("got no %s within %d tab keys, want it focused, only\n%s", selector, most, strings.Join(seen, "\n"))
}

// quoted returns text as a string of JavaScript.
func quoted(text string) string {
	raw, _ := json.Marshal(text) // a string can be marshalled
	return string(raw)
}
