package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
)

// TestScripts runs the scripts. In addition to testscript's commands they have:
//
//	cip ARGS…                 run cip; it must end with code 0
//	kpromo ARGS…              run cip under the name kpromo; it must end with code 0
//	exit N[,N…] cip ARGS…     run cip, or kpromo; it must end with code N
//	subst FILE…               put the values of $VARIABLES into files
//	crlf FILE…                end lines as Windows does
//	checkin VAR DIR           make the files of a directory a git commit, in a repository there; $VAR is its id
//	login NAME USER PASSWORD  write Docker's configuration for a registry
//
//	registry NAME [OPTION…]   start a registry; $NAME is its host, $NAME_ca its certificate
//	storage NAME OF [OPTION…] start another host that serves the content of a registry
//	object VAR KIND [OPTION…] make an image; $VAR is its digest, $VAR_tag that as a tag, $VAR_0 its first child's
//	push NAME REPO[:TAG,…] VAR [KIND OPTION…]  put an object, made here or before, into a registry
//	delete NAME REPO@DIGEST|REPO:TAG           remove it
//	key NAME KIND             make a key pair; NAME.pem is the public key, NAME.key the private one
//	sign NAME REPO VAR KEY tag|referrer|bundle  put a signature of an object
//	sigstore NAME             make a sigstore; NAME.json is its trusted root
//	keyless NAME REPO VAR SIGSTORE IDENTITY tag|bundle  put a signature of an object by an identity of https://issuer.test
//	attest NAME REPO VAR SIGSTORE IDENTITY SOURCE [tag]  put provenance of an object, as keyless
//	fault NAME FAULT [MATCH…] make requests fail; clear NAME… ends that
//
//	[!] holds NAME REPO[:TAG,…] VAR  the object is there, whole and unchanged, under these tags (not at all)
//	tags NAME REPO [TAG=VAR…]        the repository has these tags and no other
//	requests NAME KIND=N… [only]     the registry was asked so often, and nothing else
//	within FILE NAME…         the registries were asked at most as often as a dry run's JSON report estimated
//	norequests NAME…, nowrites NAME…, nouploads NAME…, reset NAME…
//
//	items FILE ['ACTION STATUS NAME/REPO VAR TAG,…|- [was VAR] [referrer]'…]  the promotions of a JSON report
//	summary FILE [KEY=N…]     its summary; what is not named is 0
//	json FILE PATH VALUE      a value in a JSON file; the path has slashes
//	same-promotions DRY REAL  both reports have the same promotions in the same order, save for their status
//	same-reports FILE FILE    two JSON reports are the same, save for requests, estimates and the duration
//	union WHOLE PART…         each promotion and fault of the whole is in one of the parts, and nothing else is
//	printable FILE…           nothing in it but lines of visible characters
//	order FILE TEXT…          the texts occur in this order
//	commit DIR NAME [FILE=TEXT…]  a commit on the branch main of a bare repository, and $NAME, its id, and $NAME_7
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		WorkdirRoot:         t.TempDir(),
		Setup:               setUp,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cip":             onWorld((*world).cip),
			"kpromo":          onWorld((*world).kpromo),
			"exit":            onWorld((*world).exit),
			"subst":           onWorld((*world).subst),
			"crlf":            onWorld((*world).crlf),
			"checkin":         onWorld((*world).checkin),
			"login":           onWorld((*world).login),
			"registry":        onWorld((*world).registry),
			"storage":         onWorld((*world).storage),
			"object":          onWorld((*world).object),
			"push":            onWorld((*world).push),
			"delete":          onWorld((*world).remove),
			"key":             onWorld((*world).key),
			"sign":            onWorld((*world).sign),
			"sigstore":        onWorld((*world).sigstore),
			"keyless":         onWorld((*world).keyless),
			"attest":          onWorld((*world).attest),
			"fault":           onWorld((*world).fault),
			"clear":           onWorld((*world).clear),
			"holds":           onWorld((*world).holds),
			"tags":            onWorld((*world).tags),
			"requests":        onWorld((*world).requests),
			"within":          onWorld((*world).within),
			"norequests":      onWorld((*world).noRequests),
			"nowrites":        onWorld((*world).noWrites),
			"nouploads":       onWorld((*world).noUploads),
			"reset":           onWorld((*world).reset),
			"items":           onWorld((*world).items),
			"summary":         onWorld((*world).summary),
			"json":            onWorld((*world).json),
			"same-promotions": onWorld((*world).samePromotions),
			"same-reports":    onWorld((*world).sameReports),
			"union":           onWorld((*world).union),
			"printable":       onWorld((*world).printable),
			"order":           onWorld((*world).order),
			"commit":          onWorld((*world).commit),
		},
	})
}

// world is what one script has made.
type world struct {
	*testscript.TestScript // the command being run
	t                      testing.TB
	not                    bool // the command stands after !
	servers                map[string]*registrytest.Server
	objects                map[string]registrytest.Object
	repositories           map[string]*repository // by directory
	keys                   map[string]*registrytest.Key
	sigstores              map[string]*sigstoretest.Sigstore
}

type worldKey struct{}

// setUp prepares a script's environment.
func setUp(env *testscript.Env) error {
	own := filepath.Join(env.WorkDir, ".own")
	for _, name := range []string{"home", "docker"} {
		if err := os.MkdirAll(filepath.Join(own, name), 0o700); err != nil {
			return err
		}
	}
	env.Vars = append(env.Vars, environment(own)...)
	env.Values[worldKey{}] = &world{
		t:       env.T().(testing.TB),
		servers: map[string]*registrytest.Server{},
		objects: map[string]registrytest.Object{},

		repositories: map[string]*repository{},
		keys:         map[string]*registrytest.Key{},
		sigstores:    map[string]*sigstoretest.Sigstore{},
	}
	return nil
}

// onWorld makes a method a command. Only those that look at not take a "!".
func onWorld(f func(*world, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, not bool, args []string) {
		w := ts.Value(worldKey{}).(*world)
		w.TestScript, w.not = ts, not
		f(w, args)
	}
}

// need fails the script unless a command has at least so many arguments.
func (w *world) need(args []string, n int, usage string) {
	if len(args) < n {
		w.Fatalf("usage: %s", usage)
	}
}

// server returns a registry of the script by name.
func (w *world) server(name string) *registrytest.Server {
	s := w.servers[name]
	if s == nil {
		w.Fatalf("no registry %q", name)
	}
	return s
}

// known returns an object of the script by name.
func (w *world) known(name string) registrytest.Object {
	o, ok := w.objects[name]
	if !ok {
		w.Fatalf("no object %q", name)
	}
	return o
}
