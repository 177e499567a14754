package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// internals are words of Go and its libraries that help no user.
var internals = regexp.MustCompile(`strconv\.|(?m:^|[ (])(json|yaml|toml|csv|url|x509|asn1|pem|hex|base64): |error (un|converting)|unmarshal|Go (struct|value)|invalid character|parsing "|panic|0x[0-9a-f]{6}|map\[|&\{|%!|<nil>|main\.|\*[a-z]+\.[A-Z]`)

// ran runs a command line, and returns its exit code and its output.
func ran(t *testing.T, env map[string]string, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	s := streams{out: &b, err: &b, getenv: func(name string) string { return env[name] }}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return execute(ctx, newRootCmd(s), args, s), b.String()
}

// TestBadValuesOfFlags gives every flag that is not a text a value of another type.
func TestBadValuesOfFlags(t *testing.T) {
	t.Parallel()
	bad := map[string][]string{
		"bool": {"maybe", ""}, "int": {"x", "1.5", "99999999999999999999", ""}, "float64": {"x", ""}, "duration": {"x", "5", ""}, "stringSlice": {`a"b`, `"a`},
	}
	arguments := map[string][]string{
		"cip explain": {"a"}, "cip snapshot": {"127.0.0.1:1/a"}, "cip snapshot diff": {"a", "b"}, "cip tags export": {"127.0.0.1:1/a"}, "cip tags resolve": {"a"},
		"cip import regsync": {"a"}, "cip import skopeo": {"a"}, "cip import image-syncer": {"a"}, "cip import dregsy": {"a"}, "cip report merge": {"a"},
	}
	flags := 0
	commands(func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		if cmd.Root().Name() != "cip" || !cmd.Runnable() || len(path) > 0 && (path[0] == "completion" || path[0] == "help") {
			return
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Name == "version" {
				return
			}
			for _, value := range bad[f.Value.Type()] {
				flags++
				code, out := ran(t, nil, append(path, "--"+f.Name+"="+value)...)
				if code != exitFailed || internals.MatchString(out) || !strings.Contains(out, "--"+f.Name) || strings.Count(out, "\n") != 1 {
					t.Errorf("%s --%s=%s: exit code %d, want 1 and an error that names the flag; got %s", cmd.CommandPath(), f.Name, value, code, out)
				}
				if value == "" || strings.HasPrefix(cmd.CommandPath(), "cip kpromo") { // its flags have no variables
					continue
				}
				code, out = ran(t, map[string]string{envName(f.Name): value}, append(path, arguments[cmd.CommandPath()]...)...)
				if code != exitFailed || internals.MatchString(out) || !strings.Contains(out, envName(f.Name)) {
					t.Errorf("%s with %s=%s: exit code %d, want 1 and an error that names the variable; got %s", cmd.CommandPath(), envName(f.Name), value, code, out)
				}
			}
		})
	})
	if flags < 50 {
		t.Errorf("got %d flags, want more", flags)
	}
}

// TestBadFiles gives every flag and argument that names a file content of another kind.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "registries:\n- {name: 127.0.0.1:1/a, src: true}\n- {name: 127.0.0.1:1/b}\nimages: []\n")
	contents := map[string]string{
		"empty": "", "text": "plan.txt is not a report\n", "open object": "{", "empty object": "{}", "list": "[1, {}]", "number": "17\n", "null": "null\n",
		"two": "{}{}", "tab": "a:\n\t- b\n", "not text": "\x00\xff\xfe\x01", "colons": "a: b: c\n", "open list": "a: [b\n", "wrong types": `{"version": "x", "dryRun": 3, "promotions": {"a": 1}, "aliases": [], "labels": 4, "images": 5, "registries": "x", "sources": 6}`,
		"alias": "a: &a [*a, *b]\n", "twice": "a: 1\na: 2\n", "key": "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", "toml": "[run\nx = 1", "account": `{"type": "service_account", "private_key": "x", "client_email": 4}`,
	}
	kinds := map[string]func(file string) []string{
		"manifest": func(f string) []string { return []string{"run", "--manifest=" + f} },
		"native":   func(f string) []string { return []string{"retag", "-f", f} },
		"plan":     func(f string) []string { return []string{"run", "--manifest=" + good, "--plan=" + f} },
		"key":      func(f string) []string { return []string{"run", "--manifest=" + good, "--signature-key=" + f} },
		"root": func(f string) []string {
			return []string{"run", "--manifest=" + good, "--trusted-root=" + f, "--certificate-identity=a", "--certificate-oidc-issuer=b"}
		},
		"ca":         func(f string) []string { return []string{"run", "--manifest=" + good, "--ca-file=" + f} },
		"account":    func(f string) []string { return []string{"run", "--manifest=" + good, "--key-files=" + f} },
		"selectors":  func(f string) []string { return []string{"resolve", "--check", "--manifest=" + f} },
		"explained":  func(f string) []string { return []string{"explain", "a", "--manifest=" + f} },
		"checked":    func(f string) []string { return []string{"check", "--offline", "--manifest=" + f} },
		"snapshot":   func(f string) []string { return []string{"snapshot", "diff", f, f} },
		"image tags": func(f string) []string { return []string{"tags", "list", "--image-tags=" + f} },
		"run image":  func(f string) []string { return []string{"run-image", "-f", f, "--for=127.0.0.1:1/a"} },
		"rebase":     func(f string) []string { return []string{"rebase", "127.0.0.1:1/a:b", "-f", f} },
		"TLS": func(f string) []string {
			return []string{"audit", "--manifest=" + good, "--listen=127.0.0.1:0", "--tls-cert=" + f, "--tls-key=" + f}
		},
		"regsync":        func(f string) []string { return []string{"import", "regsync", f} },
		"skopeo":         func(f string) []string { return []string{"import", "skopeo", f, "--destination=127.0.0.1:1"} },
		"image-syncer":   func(f string) []string { return []string{"import", "image-syncer", f} },
		"dregsy":         func(f string) []string { return []string{"import", "dregsy", f} },
		"a directory":    func(f string) []string { return []string{"run", "--thin-manifest-dir=" + f} },
		"not a registry": func(f string) []string { return []string{"snapshot", f} },
	}
	for name, text := range contents {
		file := write(strings.ReplaceAll(name, " ", "-")+".file", text)
		thin := filepath.Dir(write(filepath.Join("thin-"+strings.ReplaceAll(name, " ", "-"), "README"), ""))
		for _, below := range []string{"manifests/a/promoter-manifest.yaml", "images/a/images.yaml", "images/a/sources.yaml", "images/a/sources.lock.yaml"} {
			write(filepath.Join(filepath.Base(thin), below), text)
		}
		lines := [][]string{{"resolve", "--check", "--thin-manifest-dir=" + thin}, {"run", "--thin-manifest-dir=" + thin}}
		for _, args := range kinds {
			lines = append(lines, args(file))
		}
		for _, args := range lines {
			code, out := ran(t, nil, args...)
			if internals.MatchString(out) {
				t.Errorf("%s as cip %s: got exit code %d and words of Go, want none in\n%s", name, strings.Join(args, " "), code, out)
			}
		}
	}
}
