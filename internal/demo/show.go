package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/manifests"
)

// Options are the options of Show.
type Options struct {
	Out, Err io.Writer
	Serve    bool // keep the registry running until the context ends
	// Run runs cip with arguments and returns its stdout and exit code.
	Run func(ctx context.Context, args []string) (stdout string, code int)
}

// show is one run of Show.
type show struct {
	Options
	host string // of the registry
	dir  string // of the manifests, which name that host
}

// Show shows a promotion from beginning to end. It stops at the first command that
// fails and returns that command's exit code.
func Show(ctx context.Context, o Options) (code int, err error) {
	port := "0"
	if o.Serve {
		_, port, _ = strings.Cut(Host, ":")
	}
	reg, err := Start(ctx, port)
	if err != nil && o.Serve {
		if reg, err = Start(ctx, "0"); err == nil {
			used := strings.TrimPrefix(reg.Host, "localhost:")
			fmt.Fprintf(o.Err, "cip: port %s is taken, using %s: change %s to %s in the examples and in manifests/\n", port, used, Host, reg.Host)
		}
	}
	if err != nil {
		return 0, err
	}
	defer reg.Close()
	d := &show{Options: o, host: reg.Host}
	if d.dir, err = os.MkdirTemp("", "cip-demo-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(d.dir)
	if err := d.writeManifests(); err != nil {
		return 0, fmt.Errorf("writing the manifests: %w", err)
	}
	if code, err := d.steps(ctx); err != nil || code != 0 || !o.Serve {
		return code, err
	}
	d.say("\nThe registry is at %s. What was shown is done: prod and mirror have", d.host)
	d.say("the images of manifests/demo, a copy of which is %s. Try:", d.dir)
	d.say("  cip run --thin-manifest-dir=%s\n  cip snapshot %s/prod\n  cip rebase --check %s/apps/web:1.4", d.dir, d.host, d.host)
	d.say("Stop it with Ctrl-C.")
	<-ctx.Done()
	return 0, nil
}

func (d *show) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

// writeManifests copies manifests/demo, naming the registry that was started.
func (d *show) writeManifests() error {
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
		return os.WriteFile(to, bytes.ReplaceAll(raw, []byte(Host), []byte(d.host)), 0o644) //nolint:gosec // examples are for everyone
	})
}

// steps runs the demo's commands as a user would.
func (d *show) steps(ctx context.Context) (code int, err error) {
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
		return 0, err
	}
	d.say("%s", indent(string(raw)))
	for _, step := range steps {
		out, code := d.Run(ctx, append(step.args, "--no-progress"))
		command := strings.ReplaceAll(strings.Join(step.args, " "), d.dir, "manifests/demo")
		d.say("%s\n$ cip %s\n%s", step.text, command, indent(out))
		if code != 0 {
			return code, nil
		}
	}
	return 0, nil
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n  ") + "\n"
}
