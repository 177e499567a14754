package cli

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/internal/demo"
	"sigs.k8s.io/k8s-container-image-promoter/manifests"
)

// demonstration shows one promotion from beginning to end.
type demonstration struct {
	streams
	host string // of the embedded registry
	dir  string // of the manifest files, which name that host
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
	port := "0"
	if serve {
		_, port, _ = strings.Cut(demo.Host, ":")
	}
	reg, err := demo.Start(ctx, port)
	if err != nil && serve {
		fmt.Fprintf(s.err, "cip: port %s is in use: the registry gets another one, which the files in manifests/ do not name\n", port)
		reg, err = demo.Start(ctx, "0")
	}
	if err != nil {
		return err
	}
	defer reg.Close()
	d := &demonstration{streams: s, host: reg.Host}
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

func (d *demonstration) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// writeManifests copies manifests/demo, naming the registry that was started.
func (d *demonstration) writeManifests() error {
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
		return os.WriteFile(to, bytes.ReplaceAll(raw, []byte(demo.Host), []byte(d.host)), 0o644) //nolint:gosec // likewise
	})
}

// show runs the commands of the demo, each as a user would type it.
func (d *demonstration) show(ctx context.Context) error {
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
