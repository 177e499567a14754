package auth

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeHelper puts a credential helper on PATH that records its calls.
//
// The returned function returns the calls: command and server name.
func fakeHelper(t *testing.T, name, script string) (asked func() []string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("helpers are shell scripts here")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "asked")
	file := write(t, dir, "docker-credential-"+name, "#!/bin/sh\nread -r server\necho \"$1 $server\" >>'"+log+"'\n"+script+"\n")
	makeProgram(t, file)
	return func() []string {
		data, err := os.ReadFile(log)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

// makeProgram makes a file executable and adds its directory to PATH.
func makeProgram(t *testing.T, file string) {
	t.Helper()
	if err := os.Chmod(file, 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(file)+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestConfigurationKeys(t *testing.T) {
	for _, test := range []struct{ name, config, host, path, want string }{
		{"host", `{"auths":{"quay.io":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a/b", "u:1"},
		{"host and port", `{"auths":{"localhost:5000":{"auth":"` + basic("u", "1") + `"}}}`, "localhost:5000", "a", "u:1"},
		{"another port", `{"auths":{"localhost:5000":{"auth":"` + basic("u", "1") + `"}}}`, "localhost:5001", "a", ":"},
		{"host and default port", `{"auths":{"quay.io:443":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a", "u:1"},
		{"default port in the reference", `{"auths":{"quay.io":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io:443", "a", "u:1"},
		{"host before host and port", `{"auths":{"quay.io:443":{"auth":"` + basic("u", "1") + `"},"quay.io":{"auth":"` + basic("u", "2") + `"}}}`, "quay.io", "a", "u:2"},
		{"port 80", `{"auths":{"quay.io:80":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a", ":"},
		{"URL", `{"auths":{"https://quay.io":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a", "u:1"},
		{"URL of version 1", `{"auths":{"https://quay.io/v1/":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a", "u:1"},
		{"URL of version 2", `{"auths":{"http://quay.io/v2/":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a", "u:1"},
		{"URL with a path", `{"auths":{"https://quay.io/v2/org":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "org/a", "u:1"},
		{"URL with a path, elsewhere", `{"auths":{"https://quay.io/v2/org":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "a", ":"},
		{"host before its URL", `{"auths":{"https://quay.io":{"auth":"` + basic("u", "1") + `"},"quay.io":{"auth":"` + basic("u", "2") + `"}}}`, "quay.io", "a", "u:2"},
		{"an empty entry is skipped", `{"auths":{"https://quay.io":{"auth":"` + basic("u", "1") + `"},"quay.io":{}}}`, "quay.io", "a", "u:1"},
		{"Docker Hub's URL", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + basic("u", "1") + `"}}}`, "docker.io", "library/a", "u:1"},
		{"Docker Hub's index", `{"auths":{"index.docker.io":{"auth":"` + basic("u", "1") + `"}}}`, "docker.io", "library/a", "u:1"},
		{"Docker Hub's index without scheme", `{"auths":{"index.docker.io/v1/":{"auth":"` + basic("u", "1") + `"}}}`, "docker.io", "library/a", "u:1"},
		{"Docker Hub's short name", `{"auths":{"docker.io":{"auth":"` + basic("u", "1") + `"}}}`, "docker.io", "library/a", "u:1"},
		{"Docker Hub's registry", `{"auths":{"registry-1.docker.io":{"auth":"` + basic("u", "1") + `"}}}`, "index.docker.io", "library/a", "u:1"},
		{"Docker Hub's URL counts most", `{"auths":{"docker.io":{"auth":"` + basic("u", "1") + `"},"https://index.docker.io/v1/":{"auth":"` + basic("u", "2") + `"}}}`, "docker.io", "library/a", "u:2"},
		{"path", `{"auths":{"quay.io/org":{"auth":"` + basic("u", "1") + `"},"quay.io":{"auth":"` + basic("u", "2") + `"}}}`, "quay.io", "org/a", "u:1"},
		{"path does not match another path", `{"auths":{"quay.io/org":{"auth":"` + basic("u", "1") + `"}}}`, "quay.io", "other/a", ":"},
		{"suffix of a host", `{"auths":{"quay.io":{"auth":"` + basic("u", "1") + `"}}}`, "evilquay.io", "a", ":"},
		{"password with a colon", `{"auths":{"quay.io":{"auth":"` + basic("u", "a:b") + `"}}}`, "quay.io", "a", "u:a:b"},
		{"base64 without padding", `{"auths":{"quay.io":{"auth":"` + strings.TrimRight(basic("u", "1"), "=") + `"}}}`, "quay.io", "a", "u:1"},
		{"fields", `{"auths":{"quay.io":{"username":"u","password":"1"}}}`, "quay.io", "a", "u:1"},
		{"identity token", `{"auths":{"quay.io":{"auth":"` + basic("u", "") + `","identitytoken":"i"}}}`, "quay.io", "a", "u::i"},
		{"registry token", `{"auths":{"quay.io":{"registrytoken":"r"}}}`, "quay.io", "a", "::r"},
		{"empty file", " \n", "quay.io", "a", ":"},
		{"no entries", `{"HttpHeaders":{},"auths":null,"proxies":{"default":{}}}`, "quay.io", "a", ":"},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := cleanEnv(t)
			write(t, home, ".docker/config.json", test.config)
			c := find(t, testStore(t, Options{}), test.host, test.path, "")
			got := c.Username + ":" + c.Password
			if token := c.IdentityToken + c.RegistryToken; token != "" {
				got += ":" + token
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestConfigurationFiles(t *testing.T) {
	config := func(name string) string { return `{"auths":{"quay.io":{"auth":"` + basic(name, "x") + `"}}}` }
	for _, test := range []struct {
		name  string
		files map[string]string // below the home directory
		env   map[string]string // "~" is the home directory
		want  string
	}{
		{"home", map[string]string{".docker/config.json": config("home")}, nil, "home"},
		{"DOCKER_CONFIG", map[string]string{".docker/config.json": config("home"), "d/config.json": config("docker")},
			map[string]string{"DOCKER_CONFIG": "~/d"}, "docker"},
		{"REGISTRY_AUTH_FILE", map[string]string{"r.json": config("registry")}, map[string]string{"REGISTRY_AUTH_FILE": "~/r.json"}, "registry"},
		{"Docker's file comes first", map[string]string{".docker/config.json": config("home"), "r.json": config("registry")},
			map[string]string{"REGISTRY_AUTH_FILE": "~/r.json"}, "home"},
		{"the next file for a host that the first does not have", map[string]string{".docker/config.json": `{"auths":{"ghcr.io":{}}}`, "r.json": config("registry")},
			map[string]string{"REGISTRY_AUTH_FILE": "~/r.json"}, "registry"},
		{"runtime directory", map[string]string{"run/containers/auth.json": config("run")}, map[string]string{"XDG_RUNTIME_DIR": "~/run"}, "run"},
		{"configuration directory", map[string]string{".config/containers/auth.json": config("config")}, nil, "config"},
		{"named configuration directory", map[string]string{"xdg/containers/auth.json": config("xdg")}, map[string]string{"XDG_CONFIG_HOME": "~/xdg"}, "xdg"},
		{"in the environment", map[string]string{".docker/config.json": config("home")}, map[string]string{"DOCKER_AUTH_CONFIG": config("env")}, "env"},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := cleanEnv(t)
			for name, content := range test.files {
				write(t, home, name, content)
			}
			for name, value := range test.env {
				t.Setenv(name, strings.Replace(value, "~", home, 1))
			}
			if c := find(t, testStore(t, Options{}), "quay.io", "a", ""); c.Username != test.want {
				t.Errorf("got user name %q, want %q", c.Username, test.want)
			}
		})
	}
}

func TestMissingAuthFileIsAWarning(t *testing.T) {
	cleanEnv(t)
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(t.TempDir(), "missing.json"))
	w := &warnings{}
	if c := find(t, testStore(t, Options{Warn: w.add}), "quay.io", "a", ""); !c.Anonymous() {
		t.Errorf("got %v, want anonymous", c)
	}
	if !strings.Contains(w.all(), "missing.json, which does not exist") {
		t.Errorf("got warnings %q, want one about the missing file", w.all())
	}
}

func TestBrokenConfigurationIsAnError(t *testing.T) {
	const secret = "planted-secret"
	for _, test := range []struct{ name, config, host, want string }{
		{"not JSON", `{"auths":` + secret, "quay.io", "not JSON at byte"},
		{"wrong type", `{"auths":["` + secret + `"]}`, "quay.io", "wrong JSON type at byte"},
		{"entry not base64", `{"auths":{"quay.io":{"auth":"` + secret + `!"}}}`, "quay.io", `reading the entry for quay.io in`},
		{"entry without colon", `{"auths":{"quay.io":{"auth":"cGxhbnRlZA=="}}}`, "quay.io", `"auth" is not name:password`},
		{"entry of a wrong type", `{"auths":{"quay.io":{"password":["` + secret + `"]}}}`, "quay.io", "wrong JSON type"},
		{"entry of another host", `{"auths":{"ghcr.io":{"auth":"` + secret + `!"}}}`, "quay.io", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := cleanEnv(t)
			file := write(t, home, ".docker/config.json", test.config)
			s := testStore(t, Options{})
			c, err := s.Credential(t.Context(), s.Principal(test.host, "a", ""))
			if test.want == "" {
				if err != nil || !c.Anonymous() {
					t.Errorf("got %v, error %v; want anonymous", c, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("got %v, want an error", c)
			}
			for _, want := range []string{"finding credentials for " + test.host, file, test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want one with %q", err, want)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("got error %q, want no secret", err)
			}
		})
	}
}

func TestHelperIsRunOncePerHost(t *testing.T) {
	home := cleanEnv(t)
	asked := fakeHelper(t, "test", `echo '{"ServerURL":"x","Username":"u","Secret":"s"}'`)
	write(t, home, ".docker/config.json", `{"credHelpers":{"quay.io":"test"}}`)
	at := newClock()
	s := testStore(t, Options{Now: at.now})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			c, err := s.Credential(t.Context(), s.Principal("quay.io", "org/app"+strconv.Itoa(i), ""))
			if err != nil || c.Username != "u" || c.Password != "s" {
				t.Errorf("got user %q, password %q, error %v; want u and s", c.Username, c.Password, err)
			}
		})
	}
	wg.Wait()
	if got := asked(); len(got) != 1 || got[0] != "get quay.io" {
		t.Errorf("got calls %q, want one for quay.io", got)
	}
	at.advance(29 * time.Minute)
	find(t, s, "quay.io", "org/app", "")
	if n := len(asked()); n != 1 {
		t.Errorf("got %d calls within half an hour, want 1", n)
	}
	at.advance(time.Minute)
	c := find(t, s, "quay.io", "org/app", "")
	if n := len(asked()); n != 2 {
		t.Errorf("got %d calls after half an hour, want 2", n)
	}
	p := s.Principal("quay.io", "org/app", "")
	s.Forget(p, Credential{Username: "u", Password: "older"})
	find(t, s, "quay.io", "org/app", "")
	if n := len(asked()); n != 2 {
		t.Errorf("got %d calls after the refusal of an older password, want 2", n)
	}
	s.Forget(p, c)
	find(t, s, "quay.io", "org/app", "")
	if n := len(asked()); n != 3 {
		t.Errorf("got %d calls after a refusal, want 3", n)
	}
}

func TestHelpers(t *testing.T) {
	const success = `echo '{"Username":"u","Secret":"s"}'`
	for _, test := range []struct {
		name, script, config, host, path string
		want, asked                      string
	}{
		{"store for every host", success, `{"credsStore":"test"}`, "quay.io", "a", "u:s", "get quay.io"},
		{"store with an entry", success, `{"credsStore":"test","auths":{"quay.io":{}}}`, "quay.io", "a", "u:s", "get quay.io"},
		{"store with a URL entry", success, `{"credsStore":"test","auths":{"https://quay.io/v1/":{}}}`, "quay.io", "a", "u:s", "get https://quay.io/v1/"},
		{"store with a path entry", success, `{"credsStore":"test","auths":{"quay.io/org":{}}}`, "quay.io", "org/a", "u:s", "get quay.io/org"},
		{"Docker Hub", success, `{"credsStore":"test"}`, "docker.io", "library/a", "u:s", "get https://index.docker.io/v1/"},
		{"Docker Hub's helper", success, `{"credHelpers":{"docker.io":"test"}}`, "docker.io", "library/a", "u:s", "get https://index.docker.io/v1/"},
		{"helper before store", success, `{"credsStore":"missing","credHelpers":{"quay.io":"test"}}`, "quay.io", "a", "u:s", "get quay.io"},
		{"helper of another host", success, `{"credHelpers":{"ghcr.io":"test"}}`, "quay.io", "a", ":", ""},
		{"identity token", `echo '{"Username":"<token>","Secret":"i"}'`, `{"credsStore":"test"}`, "quay.io", "a", "::i", "get quay.io"},
		{"not found", `echo 'credentials not found in native keychain'; exit 1`, `{"credsStore":"test"}`, "quay.io", "a", ":", "get quay.io"},
		{"not found, but a password in the file", `echo 'credentials not found in native keychain'; exit 1`,
			`{"credsStore":"test","auths":{"quay.io":{"auth":"` + basic("file", "f") + `"}}}`, "quay.io", "a", "file:f", "get quay.io"},
		{"empty answer", `echo '{}'`, `{"credsStore":"test"}`, "quay.io", "a", ":", "get quay.io"},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := cleanEnv(t)
			asked := fakeHelper(t, "test", test.script)
			write(t, home, ".docker/config.json", test.config)
			c := find(t, testStore(t, Options{}), test.host, test.path, "")
			got := c.Username + ":" + c.Password
			if c.IdentityToken != "" {
				got += ":" + c.IdentityToken
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := strings.Join(asked(), "; "); got != test.asked {
				t.Errorf("got calls %q, want %q", got, test.asked)
			}
		})
	}
}

func TestFailingHelperIsAnError(t *testing.T) {
	for _, test := range []struct{ name, script, config, want string }{
		{"a message", `echo 'keychain is locked'; exit 1`, `{"credsStore":"test"}`, `exit status 1: "keychain is locked"`},
		{"a credential", `echo '{"Username":"u","Secret":"planted-secret"}'; exit 3`, `{"credsStore":"test"}`, "exit status 3"},
		{"a message on standard error", `echo planted-secret >&2; exit 1`, `{"credsStore":"test"}`, "exit status 1"},
		{"not JSON", `echo planted-secret`, `{"credsStore":"test"}`, "not JSON at byte 1"},
		{"endless output", `while :; do echo planted-secret-planted-secret-planted-secret-planted-secret; done`, `{"credsStore":"test"}`, "longer than"},
		{"missing", "", `{"credsStore":"missing"}`, "executable file not found"},
		{"a path", "", `{"credsStore":"../test"}`, "not a path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := cleanEnv(t)
			asked := fakeHelper(t, "test", test.script)
			file := write(t, home, ".docker/config.json", test.config)
			at := newClock()
			s := testStore(t, Options{Now: at.now})
			_, err := s.Credential(t.Context(), s.Principal("quay.io", "a", ""))
			if err == nil {
				t.Fatal("got no error, want one")
			}
			for _, want := range []string{"finding credentials for quay.io: asking credential helper", file, test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want one with %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "planted-secret") {
				t.Errorf("got error %q, want no secret", err)
			}
			n := len(asked())
			if _, err := s.Credential(t.Context(), s.Principal("quay.io", "b", "")); err == nil || len(asked()) != n {
				t.Errorf("got error %v after %d calls, want the cached failure after %d", err, len(asked()), n)
			}
		})
	}
}

func TestPasswordReplacesFailingHelper(t *testing.T) {
	home := cleanEnv(t)
	fakeHelper(t, "test", "exit 1")
	write(t, home, ".docker/config.json", `{"credsStore":"test","auths":{"quay.io":{"auth":"`+basic("file", "f")+`"}}}`)
	w := &warnings{}
	if c := find(t, testStore(t, Options{Warn: w.add}), "quay.io", "a", ""); c.Username != "file" {
		t.Errorf("got user name %q, want the one in the file", c.Username)
	}
	if !strings.Contains(w.all(), `passing over credential helper "test" for quay.io`) {
		t.Errorf("got warnings %q, want one about the helper", w.all())
	}
}
