package cli

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/manifests"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// demoHost is the registry that manifests/demo names.
const demoHost = "localhost:5000"

// demo shows one promotion from beginning to end.
type demo struct {
	streams
	host string // of the embedded registry
	dir  string // of the manifests, naming that host
}

func newDemoCmd(s streams) *cobra.Command {
	serve := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a promotion on an embedded registry",
		Long: `demo starts a registry on loopback, fills its staging part, and promotes
manifests/demo: the plan, the promotion, a second run that finds nothing to do,
and what is where in the end. It needs neither network nor files.`,
		Example: "  cip demo\n  cip demo --serve",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), s, serve) },
	}
	cmd.Flags().BoolVar(&serve, "serve", false, "leave the registry running, on port 5000 if that is free")
	return cmd
}

// runDemo runs the demo.
func runDemo(ctx context.Context, s streams, serve bool) error {
	d := &demo{streams: s}
	stop, err := d.start(serve)
	if err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	defer stop()
	if err := d.fill(ctx); err != nil {
		return fmt.Errorf("filling the registry: %w", err)
	}
	if d.dir, err = os.MkdirTemp("", "cip-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	if err := d.writeManifests(); err != nil {
		return fmt.Errorf("writing the manifests: %w", err)
	}
	if err := d.show(ctx); err != nil || !serve {
		return err
	}
	d.say("\nThe registry is at %s, the manifests in %s. Try:", d.host, d.dir)
	d.say("  cip run --thin-manifest-dir=%s\n  cip snapshot %s/prod", d.dir, d.host)
	d.say("Stop it with Ctrl-C.")
	<-ctx.Done()
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// start serves a registry on loopback.
func (d *demo) start(serve bool) (stop func(), err error) {
	addr := "127.0.0.1:0"
	if serve {
		addr = "127.0.0.1:5000"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil && serve {
		fmt.Fprintln(d.err, "cip: port 5000 is taken: the registry gets another one, which the files in manifests/ do not name")
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	d.host = strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1)
	server := &http.Server{Handler: ociserver.New(ocimem.New(), nil)}
	go func() { _ = server.Serve(l) }()
	return func() { _ = server.Close() }, nil
}

// fill pushes the staging images.
func (d *demo) fill(ctx context.Context) error {
	client, err := registry.New(registry.Options{UserAgent: "cip/" + d.build.Version, NoAmbient: true})
	if err != nil {
		return err
	}
	defer client.Close()
	staging, err := image.ParseRegistry(d.host + "/staging")
	if err != nil {
		return err
	}
	for _, img := range demoImages() {
		repo, err := staging.Repository(img.name)
		if err != nil {
			return err
		}
		if err := img.push(ctx, client, repo); err != nil {
			return fmt.Errorf("pushing %s: %w", repo, err)
		}
	}
	return nil
}

// writeManifests copies manifests/demo, naming the registry that was started.
func (d *demo) writeManifests() error {
	return fs.WalkDir(manifests.Demo, "demo", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(d.dir, strings.TrimPrefix(path, "demo"))
		if e.IsDir() {
			return os.MkdirAll(to, 0o755) //nolint:gosec // examples are for everyone
		}
		raw, err := fs.ReadFile(manifests.Demo, path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, bytes.ReplaceAll(raw, []byte(demoHost), []byte(d.host)), 0o644) //nolint:gosec // likewise
	})
}

// show runs the commands of the demo, each as a user would type it.
func (d *demo) show(ctx context.Context) error {
	thin := "--thin-manifest-dir=" + d.dir
	steps := []struct {
		text string
		args []string
	}{
		{"1. What would be done? A dry run reads both sides and writes nothing:", []string{"run", thin}},
		{"2. Do it: blobs are mounted inside the registry, tags are put last:", []string{"run", thin, "--confirm"}},
		{"3. Again: everything is as the manifests want it, so nothing is done:", []string{"run", thin, "--confirm"}},
		{"4. What is in production now, in the form of a manifest:", []string{"snapshot", d.host + "/prod"}},
	}
	d.say("A registry at %s holds staging images. The reviewed manifests say which of", d.host)
	d.say("them belong into production (manifests/demo/images/fruit/images.yaml):\n")
	raw, err := fs.ReadFile(manifests.Demo, "demo/images/fruit/images.yaml")
	if err != nil {
		return err
	}
	d.say("%s", indent(string(raw)))
	for _, step := range steps {
		var out bytes.Buffer
		s := streams{out: &out, err: d.err, getenv: func(string) string { return "" }, build: d.build}
		code := execute(ctx, newRootCmd(s), append(step.args, "--no-progress"), s)
		command := strings.ReplaceAll(strings.Join(step.args, " "), d.dir, "manifests/demo")
		d.say("%s\n$ cip %s\n%s", step.text, command, indent(out.String()))
		if code != exitOK {
			return &exitError{code: code}
		}
	}
	return nil
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ") + "\n"
}
