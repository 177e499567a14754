package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

// Limits of the git program's output.
const (
	maxStdout = 64 << 20         // bytes; a list of a million branches has about as many
	maxStderr = 16 << 10         // bytes; servers send a few lines about a push
	maxTime   = 15 * time.Minute // of one command, as of a fetch; people may have to type a password
	killWait  = 5 * time.Second  // from an interrupt until the program is killed
)

// Login is a user name and a password for a server. The password may be a token.
type Login struct{ URL, User, Password string } // URL: scheme://host[:port]/

// Program is the git program, with the settings of a user.
//
// It fetches and pushes, because users have set it up for this: credential helpers,
// SSH keys, proxies. Secrets reach it in its environment, never in arguments or files.
type Program struct {
	path     string
	env      []string // without settings
	settings []setting
	own      []setting // all that apply in the clone
	secrets  *secret.Set
	logins   map[string]bool // by URL
	top      string          // directory of the clone; empty: none
}

// setting is a variable of git's configuration.
type setting struct{ key, value string }

// Setup says whose settings the git program uses.
type Setup struct {
	Clone string   // a directory of the user's clone, whose settings apply too; empty: none
	Env   []string // the environment, as os.Environ returns it
	Git   string   // the program; empty: git in the PATH of the process
}

// local are the environment variables of git that belong to one repository.
var local = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_QUARANTINE_PATH", "GIT_CONFIG_COUNT",
}

// NewProgram finds the git program and reads the user's settings.
func NewProgram(ctx context.Context, s Setup) (*Program, error) {
	path, err := exec.LookPath(cmp.Or(s.Git, "git"))
	if err != nil {
		return nil, fmt.Errorf("looking for the git program, which fetches and pushes: %w", err)
	}
	p := &Program{path: path, secrets: &secret.Set{}, logins: map[string]bool{}}
	given := map[string]string{}
	for _, entry := range s.Env {
		name, value, _ := strings.Cut(entry, "=")
		if numbered := strings.HasPrefix(name, "GIT_CONFIG_KEY_") || strings.HasPrefix(name, "GIT_CONFIG_VALUE_"); numbered || slices.Contains(local, name) {
			given[name] = value
			continue
		}
		p.env = append(p.env, entry)
	}
	p.env = append(p.env, "LC_ALL=C") // errors are quoted
	count, _ := strconv.Atoi(given["GIT_CONFIG_COUNT"])
	for i := range min(count, len(given)) {
		n := strconv.Itoa(i)
		p.settings = append(p.settings, setting{given["GIT_CONFIG_KEY_"+n], given["GIT_CONFIG_VALUE_"+n]})
	}
	if s.Clone != "" {
		forwarded, err := p.readSettings(ctx, s.Clone)
		if err != nil {
			return nil, err
		}
		p.settings = append(forwarded, p.settings...) // the last one wins
		if p.top, err = absolute(s.Clone); err != nil {
			return nil, err
		}
		if _, work, err := findDot(p.top); err == nil {
			p.top = work
		}
	}
	p.settings = append(p.settings,
		setting{"core.hooksPath", os.DevNull}, // there is no work tree that a hook could check
		setting{"user.useConfigOnly", "true"}, // a guessed address is of no use to reviewers
		setting{"gc.auto", "0"}, setting{"maintenance.auto", "false"})
	return p, nil
}

// readSettings reads the settings that apply in a clone. It returns those of the clone
// itself that commands outside of it need.
func (p *Program) readSettings(ctx context.Context, clone string) (forwarded []setting, err error) {
	out, _, err := p.run(ctx, clone, nil, nil, "config", "--list", "--includes", "--show-scope", "--null")
	if err != nil {
		return nil, fmt.Errorf("reading the settings of the git repository of %s: %w", clone, err)
	}
	fields := strings.Split(out, "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		key, value, hasValue := strings.Cut(fields[i+1], "\n")
		if !hasValue {
			value = "true"
		}
		s := setting{key, value}
		p.own = append(p.own, s)
		p.learn(s)
		if scope := fields[i]; (scope == "local" || scope == "worktree") && s.concernsConnections() {
			forwarded = append(forwarded, s)
		}
	}
	return forwarded, nil
}

// concernsConnections reports whether a setting of a clone is needed to fetch, commit
// or push outside of it.
func (s setting) concernsConnections() bool {
	section, _, _ := strings.Cut(s.key, ".")
	switch section {
	case "credential", "http", "url", "ssh", "protocol", "user", "author", "committer", "gpg":
		return true
	}
	return slices.Contains([]string{"core.sshcommand", "core.gitproxy", "core.askpass", "commit.gpgsign"}, s.key)
}

// learn remembers the secrets in a setting, so that they are not printed.
func (p *Program) learn(s setting) {
	if strings.HasPrefix(s.key, "http.") && strings.HasSuffix(s.key, ".extraheader") {
		words := strings.Fields(s.value)
		if len(words) > 1 {
			p.secrets.Add(words[len(words)-1])
		}
	}
	if base, ok := strings.CutPrefix(s.key, "url."); ok {
		_, l := withoutLogin(base[:max(0, strings.LastIndexByte(base, '.'))])
		p.secrets.AddPair(l.User, l.Password)
	}
}

// Use makes git use a login for a server, and no other. The first login of a server wins.
func (p *Program) Use(l Login) {
	p.secrets.AddPair(l.User, l.Password)
	if p.logins[l.URL] {
		return
	}
	p.logins[l.URL] = true
	if l.Password == "" {
		p.settings = append(p.settings, setting{"credential." + l.URL + ".username", l.User})
		return
	}
	user, password := fmt.Sprintf("CIP_GIT_USER_%d", len(p.logins)), fmt.Sprintf("CIP_GIT_PASSWORD_%d", len(p.logins))
	p.env = append(p.env, user+"="+l.User, password+"="+l.Password)
	helper := `!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$` + user + `" "$` + password + `"; }; f`
	p.settings = append(p.settings,
		setting{"http." + l.URL + ".extraheader", ""}, // an empty value removes those before it
		setting{"credential." + l.URL + ".helper", ""},
		setting{"credential." + l.URL + ".helper", helper})
}

// run runs git in a directory, with further settings. The secrets that are known are
// removed from what it prints.
func (p *Program) run(ctx context.Context, dir string, more []setting, stdin []byte, args ...string) (stdout, stderr string, err error) {
	timed, stop := context.WithTimeout(ctx, maxTime)
	defer stop()
	cmd := exec.CommandContext(timed, p.path, args...)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, bytes.NewReader(stdin), slices.Clone(p.env)
	all := slices.Concat(p.settings, more)
	cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(all)))
	for i, s := range all {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s.key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s.value))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that git ends its own processes
	cmd.WaitDelay = killWait
	out, said := &capped{most: maxStdout}, &capped{most: maxStderr}
	cmd.Stdout, cmd.Stderr = out, said
	err = cmd.Run()
	stderr = p.secrets.Redact(string(said.kept))
	switch exit := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		err = ctx.Err()
	case timed.Err() != nil:
		err = fmt.Errorf("running git %s: it took more than %v", args[0], maxTime)
	case out.full:
		err = fmt.Errorf("running git %s: it printed more than %s", args[0], size(maxStdout))
	case errors.As(err, &exit) && stderr != "":
		err = fmt.Errorf("running git %s: %w: %s", args[0], err, oneLine(stderr))
	case err != nil:
		err = fmt.Errorf("running git %s: %w", args[0], err)
	}
	return string(out.kept), stderr, err
}

// fetch fetches a reference of a repository into the one in a directory.
func (p *Program) fetch(ctx context.Context, dir string, from Address, option, ref string) error {
	_, _, err := p.run(ctx, dir, from.settings(), nil, "fetch", "--quiet", "--no-tags", option, remoteName, ref)
	return err
}

// oneLine joins the lines of a message.
func oneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// capped keeps the first bytes that are written to it.
type capped struct {
	kept []byte
	most int
	full bool
}

var _ io.Writer = (*capped)(nil)

// Write implements io.Writer.
func (c *capped) Write(b []byte) (int, error) {
	n := min(len(b), c.most-len(c.kept))
	c.kept = append(c.kept, b[:n]...)
	c.full = c.full || n < len(b)
	return len(b), nil
}

// Identity returns the name and address of the user's commits, as "name <address>".
func (p *Program) Identity(ctx context.Context) (string, error) {
	for _, who := range []string{"GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"} {
		out, _, err := p.run(ctx, os.TempDir(), nil, nil, "var", who)
		if err != nil {
			return "", fmt.Errorf("git has no name and address for the commit (set user.name and user.email): %w", err)
		}
		if end := strings.LastIndexByte(out, '>'); who == "GIT_COMMITTER_IDENT" && end > 0 {
			return out[:end+1], nil
		}
	}
	return "", errors.New("git printed no address for the commit")
}
