package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// cip runs the product, which must end with code 0.
func (w *world) cip(args []string) { w.run(binary, []string{"0"}, args) }

// kpromo runs the product under the name kpromo, which must succeed.
func (w *world) kpromo(args []string) { w.run(linkOfKpromo(), []string{"0"}, args) }

// linkOfKpromo returns the link to the product with the name kpromo.
func linkOfKpromo() string { return filepath.Join(filepath.Dir(binary), "kpromo") }

// exit runs the product, which must end with one of the codes.
func (w *world) exit(args []string) {
	w.need(args, 2, "exit N[,N…] cip|kpromo ARGS…")
	name := map[string]string{"cip": binary, "kpromo": linkOfKpromo()}[args[1]]
	if name == "" {
		w.Fatalf("usage: exit N[,N…] cip|kpromo ARGS…")
	}
	w.run(name, strings.Split(args[0], ","), args[2:])
}

func (w *world) run(program string, codes, args []string) {
	if w.not {
		w.Fatalf("say exit N cip … for a run that fails")
	}
	code := 0
	if err := w.Exec(program, args...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			w.Fatalf("running cip: %v", err)
		}
		code = exit.ExitCode()
	}
	if !slices.Contains(codes, strconv.Itoa(code)) {
		w.Fatalf("exit code %d, want %s", code, strings.Join(codes, " or "))
	}
	if text := w.ReadFile("stderr"); strings.Contains(text, "DATA RACE") || strings.Contains(text, "goroutine ") {
		w.Fatalf("cip broke down")
	}
	if left := litter(w.Getenv("TMPDIR")); len(left) > 0 {
		w.Fatalf("cip left %v behind", left)
	}
}

// subst puts the values of variables into files.
func (w *world) subst(args []string) {
	w.need(args, 1, "subst FILE…")
	for _, name := range args {
		text := os.Expand(w.ReadFile(name), func(key string) string {
			value := w.Getenv(key)
			if value == "" {
				w.Fatalf("%s: no variable %q", name, key)
			}
			return value
		})
		w.Check(os.WriteFile(w.MkAbs(name), []byte(text), 0o600))
	}
}

// crlf ends the lines of files as Windows does.
func (w *world) crlf(args []string) {
	for _, name := range args {
		w.Check(os.WriteFile(w.MkAbs(name), []byte(strings.ReplaceAll(w.ReadFile(name), "\n", "\r\n")), 0o600))
	}
}

// login writes the credentials of a registry where Docker keeps them.
func (w *world) login(args []string) {
	w.need(args, 3, "login NAME USER PASSWORD")
	w.Check(writeLogin(w.Getenv("DOCKER_CONFIG"), args[1], args[2], w.server(args[0]).Host))
}

// registry starts a registry.
func (w *world) registry(args []string) {
	w.need(args, 1, "registry NAME [OPTION…]")
	w.serve(args[0], registrytest.New(w.t, w.registryOptions(args[1:])...))
}

// storage starts another host over the content of a registry.
func (w *world) storage(args []string) {
	w.need(args, 2, "storage NAME OF [OPTION…]")
	w.serve(args[0], w.server(args[1]).Storage(w.t, w.registryOptions(args[2:])...))
}

func (w *world) serve(name string, s *registrytest.Server) {
	w.servers[name] = s
	w.Setenv(name, s.Host)
	if strings.HasPrefix(s.URL, "https:") {
		w.Setenv(name+"_ca", s.CAFile(w.t))
	}
}

// object makes an object, or finds one that was made before.
func (w *world) object(args []string) {
	w.need(args, 2, "object VAR KIND [OPTION…]")
	w.make(args[0], args[1:])
}

func (w *world) make(name string, spec []string) registrytest.Object {
	o := w.build(name, spec)
	w.objects[name] = o
	w.Setenv(name, o.Digest)
	w.Setenv(name+"_tag", strings.Replace(o.Digest, ":", "-", 1))
	for i, c := range o.Children {
		child := name + "_" + strconv.Itoa(i)
		w.objects[child] = c
		w.Setenv(child, c.Digest)
	}
	return o
}

// push puts an object into a registry, unseen by its record.
func (w *world) push(args []string) {
	w.need(args, 3, "push NAME REPO[:TAG,…] VAR [KIND OPTION…]")
	repo, tags := splitTags(args[1])
	var o registrytest.Object
	if len(args) > 3 {
		o = w.make(args[2], args[3:])
	} else {
		o = w.known(args[2])
	}
	w.server(args[0]).Push(w.t, repo, o, tags...)
}

// splitTags takes "repo:tag,tag" apart.
func splitTags(s string) (repo string, tags []string) {
	repo, list, ok := strings.Cut(s, ":")
	if ok {
		tags = strings.Split(list, ",")
	}
	return repo, tags
}

// remove deletes a manifest or a tag.
func (w *world) remove(args []string) {
	w.need(args, 2, "delete NAME REPO@DIGEST|REPO:TAG")
	s := w.server(args[0])
	if repo, digest, ok := strings.Cut(args[1], "@"); ok {
		s.DeleteManifest(w.t, repo, digest)
		return
	}
	repo, tags := splitTags(args[1])
	for _, tag := range tags {
		s.DeleteTag(w.t, repo, tag)
	}
}

// fault makes requests to a registry fail.
func (w *world) fault(args []string) {
	w.need(args, 2, "fault NAME FAULT [MATCH…]")
	s := w.server(args[0])
	f := w.faultNamed(s, args[1])
	var matches []registrytest.Match
	for _, m := range args[2:] {
		matches = append(matches, w.matchNamed(m))
	}
	s.Fault(f, matches...)
}

// clear ends the faults of registries.
func (w *world) clear(args []string) {
	w.need(args, 1, "clear NAME…")
	for _, name := range args {
		w.server(name).ClearFaults()
	}
}

// reset forgets the requests that registries have recorded.
func (w *world) reset(args []string) {
	w.need(args, 1, "reset NAME…")
	for _, name := range args {
		w.server(name).Reset()
	}
}
