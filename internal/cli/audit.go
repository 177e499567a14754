package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// askAgain is how long no request is sent to a registry that was given up. Events of it
// wait for up to a minute, too.
const askAgain = time.Minute

// auditOptions are the flags of cip audit.
type auditOptions struct {
	manifestOptions
	registryOptions
	flags             *pflag.FlagSet
	url, branch, path string
	listen            string
	tlsCert, tlsKey   string
	tokenFile         string
	oidc              audit.OIDC
	state             string
	sweep             time.Duration
	alertURL          string
	pageURL           string
	commitURL         string
	uuid, project     string
}

func newAuditCmd(s streams) *cobra.Command {
	o := &auditOptions{}
	cmd := &cobra.Command{
		Use:         "audit",
		Annotations: exits(),
		Short:       "Compare every change of the destinations with the manifests",
		Long: `audit is a server that receives push notifications from registries: POST / for
Google's Pub/Sub, and POST /events/SYSTEM for distribution, harbor, zot, ecr, acr,
dockerhub and quay. It reads each change of a destination from the registry and
compares it with the manifests of a directory or of the head of a git branch. The
verdict is VERIFIED, REJECTED, or IGNORED if the change is not in a destination.
Verdicts are written to stdout as JSON lines. GET / is a web page; /api/verdicts,
/api/drift, /healthz, /readyz and /metrics are for programs. At SIGTERM, audit
answers open requests and exits.`,
		Example: `  cip audit --url=https://git.example.com/manifests --branch=main --path=registries --state=/var/lib/cip/verdicts
  cip audit --thin-manifest-dir=manifests/demo --listen=127.0.0.1:8080 --sweep-interval=1h`,
		Args: noArgs,
		RunE: o.withLog(s, o.run),
	}
	cmd.Annotations[drainsKey] = "open requests, and events that were never tried"
	o.addFlags(cmd.Flags())
	return cmd
}

// newAuditorCmd returns the command of the program cip-auditor.
func newAuditorCmd(s streams) *cobra.Command {
	cmd := newAuditCmd(s)
	cmd.Use = "cip-auditor"
	cmd.Example = strings.ReplaceAll(cmd.Example, "cip audit", "cip-auditor")
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.PersistentPreRunE = s.defaults
	setHelp(cmd, s)
	cmd.SetFlagErrorFunc(flagError)
	setVersion(cmd, s)
	return cmd
}

func (o *auditOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	o.manifestOptions.addFlags(f)
	f.StringVar(&o.url, "url", "", "git `repository` with the manifests")
	f.StringVar(&o.branch, "branch", "", "`branch` of --url (default: the default branch)")
	f.StringVar(&o.path, "path", "", "`path` of a thin manifest directory or plain manifest in --url (default: the root)")
	f.StringVar(&o.listen, "listen", "", "`address` to serve on (default :$PORT, or :8080)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with the TLS certificate of the server")
	f.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with the key of --tls-cert")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with the token that notifications must have")
	f.StringVar(&o.oidc.Audience, "oidc-audience", "", "require Pub/Sub pushes to have a Google token for this `audience`")
	f.StringVar(&o.oidc.Email, "oidc-email", "", "require that token to be of this `account`")
	f.StringVar(&o.state, "state", "", "`file` for verdicts and waiting events (default: in memory)")
	f.DurationVar(&o.sweep, "sweep-interval", 0, "compare whole destinations with the manifests at this interval (0: never)")
	f.StringVar(&o.alertURL, "alert-url", "", "`URL` to post rejected changes and new drift to")
	f.StringVar(&o.pageURL, "page-url", "", "`URL` of this auditor's page for links in alerts")
	f.StringVar(&o.commitURL, "commit-url", "", "`URL` of a commit of the manifests for links on the page, with {commit} for its id")
	f.StringVar(&o.uuid, "uuid", "", "`id` of this auditor in the log (default: random)")
	f.StringVar(&o.project, "project", "", "Google Cloud `project` to report rejected changes to, by Error Reporting")
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
}

// older reads the environment variables of the Kubernetes auditor.
//
// Flags take precedence over them.
func (o *auditOptions) older(getenv func(string) string) {
	for name, to := range map[string]*string{
		"CIP_AUDIT_MANIFEST_REPO_URL":          &o.url,
		"CIP_AUDIT_MANIFEST_REPO_BRANCH":       &o.branch,
		"CIP_AUDIT_MANIFEST_REPO_MANIFEST_DIR": &o.path,
		"CIP_AUDIT_GCP_PROJECT_ID":             &o.project,
		"CIP_AUDIT_TESTCASE_UUID":              &o.uuid,
	} {
		local := o.manifestOptions.path() != "" && (to == &o.url || to == &o.branch || to == &o.path)
		if *to == "" && !local {
			*to = getenv(name)
		}
	}
}

// run carries out cip audit.
func (o *auditOptions) run(ctx context.Context, s *session, _ []string) error {
	o.older(s.getenv)
	if err := o.check(s.getenv); err != nil {
		return err
	}
	token, err := o.token()
	if err != nil {
		return err
	}
	origin, clean, err := o.origin()
	if err != nil {
		return err
	}
	defer clean()
	manifests := audit.NewManifests(origin, s.warn)
	if err := manifests.Start(ctx); err != nil {
		return err
	}
	settings, err := o.settings(s)
	if err != nil {
		return err
	}
	settings.Sites, settings.Limits.Again = manifests, askAgain
	client, err := registry.New(settings)
	if err != nil {
		return err
	}
	defer client.Close()
	auditor, err := audit.New(ctx, audit.Options{
		Manifests: manifests, Client: client, State: o.state, Token: token, OIDC: o.oidc, Sweep: o.sweep, AlertURL: o.alertURL,
		PageURL: o.pageURL, CommitURL: o.commitURL,
		Log:  audit.Log{Out: s.out, UUID: o.uuid, Project: o.project, Version: s.build.Version},
		Warn: s.warn, Error: func(text string) { s.log.Error(text) },
	})
	if err != nil {
		return err
	}
	return errors.Join(o.serve(ctx, auditor, s.log), auditor.Close())
}

// serve listens and serves until ctx ends.
func (o *auditOptions) serve(ctx context.Context, auditor *audit.Auditor, log *logrus.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	scheme := "http"
	if o.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
		if err != nil {
			return errors.Join(fmt.Errorf("reading --tls-cert and --tls-key: %w", err), listener.Close())
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
		scheme = "https"
	}
	log.Infof("listening on %s://%s", scheme, listener.Addr())
	if o.tokenFile == "" && o.oidc.Audience == "" && !image.Loopback(listener.Addr().String()) {
		log.Warnf("%s accepts notifications from everyone, also forged ones: --token-file makes it require a token", listener.Addr())
	}
	return auditor.Serve(ctx, listener)
}

// check completes the flags and reports flags that do not fit together.
func (o *auditOptions) check(getenv func(string) string) error {
	if o.listen == "" {
		o.listen = ":8080"
		if port := getenv("PORT"); port != "" {
			o.listen = ":" + port
		}
	}
	if o.uuid == "" {
		o.uuid = rand.Text()
	}
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case o.oidc.Email != "" && o.oidc.Audience == "":
		return errors.New("--oidc-email needs --oidc-audience")
	case o.sweep < 0:
		return errors.New("bad --sweep-interval: want a duration that is not negative")
	case o.url != "" && o.manifestOptions.path() != "":
		return errors.New("--url excludes --manifest and --thin-manifest-dir")
	case o.url == "" && (given(o.flags, "branch") || o.manifestOptions.path() != "" && o.path != ""):
		return errors.New("--branch and --path need --url")
	}
	return o.checkURLs()
}

// checkURLs reports bad URLs, without their text, which may have a secret.
func (o *auditOptions) checkURLs() error {
	web := func(text string) (*url.URL, bool) {
		u, err := url.Parse(text)
		return u, err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
	}
	if _, ok := web(o.alertURL); o.alertURL != "" && !ok {
		return errors.New("bad --alert-url: want http:// or https:// and a host")
	}
	if o.pageURL != "" {
		u, ok := web(o.pageURL)
		if !ok || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("bad --page-url: want http:// or https:// and a host, and neither ? nor #")
		}
		o.pageURL = strings.TrimRight(o.pageURL, "/") + "/"
	}
	if _, ok := web(strings.ReplaceAll(o.commitURL, audit.CommitMark, "0")); o.commitURL != "" && (!ok || !strings.Contains(o.commitURL, audit.CommitMark)) {
		return errors.New("bad --commit-url: want http:// or https://, a host, and " + audit.CommitMark)
	}
	return nil
}

// token reads the token that notifications must have.
func (o *auditOptions) token() (string, error) {
	if o.tokenFile == "" {
		return "", nil
	}
	raw, err := load.File(o.tokenFile, load.MaxKey)
	if err != nil {
		return "", fmt.Errorf("reading --token-file: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", fmt.Errorf("reading --token-file: %s has no token", o.tokenFile)
	}
	return token, nil
}

// origin returns the origin of the manifests.
//
// clean removes the copy of a git repository.
func (o *auditOptions) origin() (origin audit.Origin, clean func(), err error) {
	clean = func() {}
	switch {
	case o.url != "":
		dir, err := os.MkdirTemp("", "cip-manifests-")
		if err != nil {
			return nil, nil, fmt.Errorf("making a directory for the manifests: %w", err)
		}
		remote := git.Remote{URL: o.url, Branch: o.branch, Dir: dir, Depth: 1}
		return &audit.Git{Remote: remote, Path: cmp.Or(o.path, ".")}, func() { _ = os.RemoveAll(dir) }, nil
	case o.manifestOptions.path() != "":
		at, err := o.location()
		return audit.Directory{Path: at.Path()}, clean, err
	case o.path != "":
		return audit.Directory{Path: o.path}, clean, nil
	}
	return nil, nil, errors.New("--url, --thin-manifest-dir or --manifest is required")
}
