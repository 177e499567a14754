package e2e

import (
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// spec is one word of a command: KEY or KEY=VALUE.
type spec struct{ key, value string }

func parseSpec(word string) spec {
	key, value, _ := strings.Cut(word, "=")
	return spec{key, value}
}

// parts splits the value at colons.
func (s spec) parts(n int) []string {
	return append(strings.SplitN(s.value, ":", n), make([]string, n)...)[:n]
}

// number returns the value as a number.
func (w *world) number(s spec) int {
	n, err := strconv.Atoi(s.value)
	if err != nil {
		w.Fatalf("%s: want a number, found %q", s.key, s.value)
	}
	return n
}

// registryOptions reads the options of a registry.
func (w *world) registryOptions(words []string) []registrytest.Option {
	simple := map[string]registrytest.Option{
		"google": registrytest.GoogleListing(), "distribution": registrytest.Distribution(), "catalog": registrytest.WithCatalog(),
		"tls": registrytest.TLS(), "http2": registrytest.HTTP2(), "nomultitag": registrytest.NoMultiTag(),
		"noreferrers": registrytest.NoReferrers(), "sparse": registrytest.Sparse(), "permissive": registrytest.Permissive(),
		"strict-list": registrytest.StrictTagList404(),
	}
	var opts []registrytest.Option
	users := map[string]string{}
	var tokens []registrytest.TokenOption
	for _, word := range words {
		s := parseSpec(word)
		switch s.key {
		case "pages":
			opts = append(opts, registrytest.PageSize(w.number(s)))
		case "basic":
			p := s.parts(2)
			opts = append(opts, registrytest.BasicAuth(p[0], p[1]))
		case "token":
			p := s.parts(2)
			users[p[0]] = p[1]
		case "grant":
			p := s.parts(3)
			tokens = append(tokens, registrytest.Grant(p[0], p[1], strings.Split(p[2], "+")...))
		case "anonymous":
			tokens = append(tokens, registrytest.AnonymousPull())
		case "first-scope":
			tokens = append(tokens, registrytest.FirstScopeOnly())
		case "uses":
			tokens = append(tokens, registrytest.TokenUses(w.number(s)))
		default:
			o, ok := simple[word]
			if !ok {
				w.Fatalf("no registry option %q", word)
			}
			opts = append(opts, o)
		}
	}
	if len(users) > 0 {
		opts = append(opts, registrytest.TokenAuth(users, tokens...))
	}
	return opts
}

// build makes an object; its name is its seed.
func (w *world) build(name string, words []string) registrytest.Object {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name)) // never fails
	seed := int(hash.Sum32() % 1_000_000)
	layers, platforms, attested, kind := 2, 2, false, "application/vnd.example.thing"
	var opts []registrytest.BuildOption
	var of []registrytest.Object
	for _, word := range words[1:] {
		switch s := parseSpec(word); s.key {
		case "layers":
			layers = w.number(s)
		case "platforms":
			platforms = w.number(s)
		case "size":
			opts = append(opts, registrytest.LayerSize(w.number(s)))
		case "base":
			opts = append(opts, registrytest.Base(w.number(s)))
		case "attested":
			attested = true
		case "type":
			kind = s.value
		case "platform":
			opts = append(opts, registrytest.Platform(s.value))
		case "annotate": // annotate=KEY:VALUE
			p := s.parts(2)
			opts = append(opts, registrytest.Annotate(p[0], p[1]))
		case "created": // created=TIME
			opts = append(opts, registrytest.Created(s.value))
		case "label": // label=KEY:VALUE
			p := s.parts(2)
			opts = append(opts, registrytest.Label(p[0], p[1]))
		case "docker":
			opts = append(opts, registrytest.Docker())
		case "untyped":
			opts = append(opts, registrytest.NoMediaType())
		case "foreign":
			opts = append(opts, registrytest.Foreign(s.value))
		case "subject":
			opts = append(opts, registrytest.Subject(w.known(s.value)))
		case "of": // of=VAR,VAR: an index of these
			for _, child := range strings.Split(s.value, ",") {
				of = append(of, w.known(child))
			}
		case "env":
			opts = append(opts, registrytest.Env(s.value))
		case "on": // on=VAR:NAME: buildpacks made it on the run image VAR, which is called NAME
			p := s.parts(2)
			opts = append(opts, registrytest.Label("io.buildpacks.lifecycle.metadata", lifecycle(w.known(p[0]), p[1])), registrytest.Env("CNB_PLATFORM_API=0.12"))
		default:
			w.Fatalf("no image option %q", word)
		}
	}
	switch words[0] {
	case "image":
		return registrytest.Image(seed, layers, opts...)
	case "artifact":
		return registrytest.Artifact(seed, kind, opts...)
	case "index":
		index := registrytest.MultiArch(seed, platforms, layers, opts...)
		if of != nil {
			index = registrytest.Index(of, opts...)
		}
		if !attested {
			return index
		}
		children := index.Children
		for i, c := range index.Children {
			children = append(children, registrytest.Attestation(seed+i, c))
		}
		return registrytest.Index(children, opts...)
	case "sha512": // no manifest can be wanted by such a digest, but an index can name it
		return registrytest.Index([]registrytest.Object{
			registrytest.Image(seed, layers, append(opts, registrytest.SHA512())...), registrytest.Image(seed+1, layers, opts...),
		})
	case "nested":
		return registrytest.Index([]registrytest.Object{
			registrytest.MultiArch(seed, platforms, layers, opts...), registrytest.Image(seed+1, layers, opts...),
		}, opts...)
	}
	w.Fatalf("no image kind %q", words[0])
	return registrytest.Object{}
}

// lifecycle is the metadata of an app on a run image.
func lifecycle(run registrytest.Object, name string) string {
	ids := run.DiffIDs()
	return `{"runImage":{"topLayer":"` + ids[len(ids)-1] + `","reference":"old@` + run.Digest + `","image":"` + name + `","mirrors":[]}}`
}

// faultNamed reads a fault: KIND=VALUE.
func (w *world) faultNamed(s *registrytest.Server, word string) registrytest.Fault {
	switch f := parseSpec(word); f.key {
	case "refuse": // refuse=STATUS:CODE:MESSAGE, the message percent-encoded
		p := f.parts(3)
		status, err := strconv.Atoi(p[0])
		w.Check(err)
		message, err := url.QueryUnescape(p[2])
		w.Check(err)
		return registrytest.Refuse(status, p[1], message)
	case "later": // later=SECONDS: a refusal that asks for another try after that time
		return registrytest.Status(http.StatusTooManyRequests, registrytest.Header("Retry-After", strconv.Itoa(w.number(f))), "")
	case "mounts":
		return registrytest.RefuseMounts(w.number(f))
	case "move": // move=REPO:TAG:VAR
		p := f.parts(3)
		return s.MoveTag(w.t, p[0], p[1], w.known(p[2]))
	case "redirect":
		return registrytest.Redirect(w.server(f.value).URL)
	case "digest":
		return registrytest.WrongDigest(f.value)
	}
	w.Fatalf("no fault %q", word)
	return nil
}

// matchNamed reads what a fault hits.
func (w *world) matchNamed(word string) registrytest.Match {
	switch m := parseSpec(word); m.key {
	case "kind":
		var kinds []registrytest.Kind
		for _, k := range strings.Split(m.value, ",") {
			kinds = append(kinds, registrytest.Kind(k))
		}
		return registrytest.Is(kinds...)
	case "repo":
		return registrytest.Repo(m.value)
	case "ref":
		return registrytest.Ref(m.value)
	case "first":
		return registrytest.First(w.number(m))
	case "each":
		return registrytest.FirstEach(w.number(m))
	case "after":
		return registrytest.After(w.number(m))
	}
	w.Fatalf("no match %q", word)
	return nil
}
