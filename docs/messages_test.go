package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
)

// errorMakers are the functions that make an error or a fault from a format.
var errorMakers = []string{"New", "Errorf", "Fault", "fault", "Whole", "refusal"}

// messageMakers are also those that make a warning, a finding or the reason of a verdict.
var messageMakers = append([]string{"finding", "Warn", "Warnf", "warn", "refused", "refuse", "skip", "append", "Sprintf", "once", "waiting", "TrimSuffix"}, errorMakers...)

// judgeMakers are those that make an error, or a reason why evidence does not count.
var judgeMakers = append([]string{"fail", "rejected", "because", "violate", "Sprintf"}, errorMakers...)

// messageDirs are the packages with the messages, and the functions that make them there. In
// some, other functions make the lines of a report.
var messageDirs = map[string][]string{
	"pkg/image": messageMakers, "pkg/inventory": errorMakers, "pkg/yamlread": messageMakers, "pkg/tree": messageMakers, "pkg/manifest": messageMakers,
	"pkg/load": messageMakers, "pkg/git": messageMakers, "pkg/propose": messageMakers, "pkg/history": errorMakers, "pkg/plan": messageMakers, "pkg/registry": messageMakers,
	"pkg/registry/internal/wire": messageMakers, "pkg/registry/internal/auth": messageMakers, "pkg/promote": messageMakers,
	"pkg/evidence": messageMakers, "pkg/transfer": messageMakers, "pkg/check": messageMakers, "pkg/scan": messageMakers, "pkg/audit": messageMakers,
	"internal/cli": messageMakers, "internal/kpromo": append([]string{"warn"}, errorMakers...), "pkg/output": errorMakers, "pkg/selector": errorMakers, "pkg/resolve": errorMakers, "pkg/add": errorMakers,
	"pkg/lookup": errorMakers, "pkg/imagetags": errorMakers, "pkg/rebase": errorMakers, "pkg/importer": errorMakers,
	"pkg/audit/event": errorMakers, "pkg/strictjson": errorMakers, "pkg/yamledit": errorMakers, "pkg/provenance": judgeMakers, "pkg/attest": messageMakers, "internal/demo": errorMakers, "internal/schema": errorMakers,
	"pkg/verify": append([]string{"missing", "invalid"}, errorMakers...),
}

// notMessages are texts that users never see, or that are a part of a message, with the reason.
var notMessages = map[string]string{
	"… more":                                    "the end of a list",
	"… (… more)":                                "the end of a list",
	"and … more":                                "the end of a list",
	"and … more findings":                       "the end of a list",
	"and … more such faults":                    "the end of a list",
	"a key names an unknown bucket":             `a detail of "it is damaged"`,
	"an entry is malformed":                     `a detail of "it is damaged"`,
	"a whole number from … to …":                "a part",
	`quoted text "…"`:                           "a part",
	`the value "…"`:                             "a part",
	"… KiB":                                     "a part",
	"… MiB":                                     "a part",
	"… (…) in …":                                "a part",
	"… has …":                                   "a part",
	"… repositories":                            "a part",
	"… tags or digests":                         "a part",
	"…: warning: …":                             "a warning",
	"TRANSACTION …: …":                          "a verdict with its reason",
	"TRANSACTION …: … of …: …":                  "a verdict with its reason",
	"exit code …":                               "the reason follows",
	"events: …, of them new: …":                 "the answer to a notification",
	"…ecr … …":                                  "a key",
	"not configured":                            "of a credential: the next place is asked",
	"no policy":                                 "the parser refuses such a selector",
	"another run may succeed":                   "a mark, in no message",
	"reading a closed body":                     "the error before it is reported",
	"the tag points to the manifest already":    "it is not written again",
	"reading a blob that came with other bytes": "the error before it is reported",
}

var (
	verbRE    = regexp.MustCompile(`%(?:\[\d\])?[-+#. \d]*[a-pr-z]`)
	quotedRE  = regexp.MustCompile(`%(?:\[\d\])?[-+#. \d]*q`)
	wordsRE   = regexp.MustCompile(`^[^ :;,(|#].*[A-Za-z]{2}`)
	contextRE = regexp.MustCompile(`^[^:]*: %[wv]$`) // its cause follows, which is a message of its own
	rowRE     = regexp.MustCompile("(?m)^\\| ([^|\n]*`[^|\n]*) \\|.*\\|.*\\|$")
	spanRE    = regexp.MustCompile("`([^`]+)`")
	// foreignMessageRE matches statuses, and messages of Go's libraries.
	foreignMessageRE = regexp.MustCompile(`^(?:[1-5][0-9x]{2} |x509)`)
)

// collector collects the formats of the messages of a package.
type collector struct {
	makers    []string
	constants map[string]string
	files     *token.FileSet
	found     map[string]made // what a format inserts is "…"
}

// made says where a message is made, and whether its cause follows, which is another message.
type made struct {
	at      string
	context bool
}

// messages returns the formats of the messages that functions make in a package.
func messages(t *testing.T, dir string, makers []string) map[string]made {
	t.Helper()
	c := collector{makers, map[string]string{}, token.NewFileSet(), map[string]made{}}
	var parsed []*ast.File
	texts := read(t, filepath.Join("..", dir, "*.go"))
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "audit/boltfile.go") { // details of "it is damaged"
			continue
		}
		f, err := parser.ParseFile(c.files, file, texts[file], parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
		for _, d := range f.Decls {
			if group, ok := d.(*ast.GenDecl); ok {
				c.declare(group)
			}
		}
	}
	for _, f := range parsed {
		ast.Inspect(f, c.visit)
	}
	return c.found
}

// declare keeps the strings of constants and variables of the package.
func (c *collector) declare(group *ast.GenDecl) {
	for _, spec := range group.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || len(v.Values) != len(v.Names) {
			continue
		}
		for i, name := range v.Names {
			if text, ok := c.literal(v.Values[i]); ok {
				c.constants[name.Name] = text
			}
		}
	}
}

// visit adds the messages that a node makes.
func (c *collector) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := calledName(n)
		if !slices.Contains(c.makers, name) {
			break
		}
		args := n.Args
		if len(args) == 2 && (name == "warn" || name == "once") { // a key comes first
			args = args[1:]
		}
		for _, arg := range args {
			c.add(arg)
		}
	case *ast.AssignStmt: // v.Outcome, v.Reason = ignored, "…"
		for i, to := range n.Lhs {
			if field, ok := to.(*ast.SelectorExpr); ok && len(n.Rhs) == len(n.Lhs) && (field.Sel.Name == "Reason" || field.Sel.Name == "Message") {
				c.add(n.Rhs[i])
			}
		}
	case *ast.FuncDecl: // func (e *E) Error() string { return "…" }
		if n.Name.Name == "Error" && n.Body != nil {
			if r, ok := n.Body.List[len(n.Body.List)-1].(*ast.ReturnStmt); ok {
				c.add(r.Results[0])
			}
		}
	}
	return true
}

// add adds a format with words.
func (c *collector) add(e ast.Expr) {
	format, ok := c.literal(e)
	context := contextRE.MatchString(format)
	format = verbRE.ReplaceAllString(quotedRE.ReplaceAllString(format, `"…"`), "…")
	if ok && strings.Contains(strings.TrimSpace(format), " ") && wordsRE.MatchString(format) {
		if before, ok := c.found[format]; !ok || before.context {
			c.found[format] = made{c.files.Position(e.Pos()).String(), context}
		}
	}
}

// literal returns the text of a string, a constant, or the sum of one and other values.
func (c *collector) literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		text, ok := c.constants[e.Name]
		return text, ok
	case *ast.BinaryExpr:
		x, left := c.literal(e.X)
		y, right := c.literal(e.Y)
		if !left {
			x = "%s"
		}
		if !right {
			y = "%s"
		}
		return x + y, left || right
	}
	return "", false
}

// calledName returns the name of the function or method that is called.
func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// packageDirs returns the directories of the packages that programs are made of.
func packageDirs(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"../pkg/*/*.go", "../pkg/*/*/*.go", "../pkg/*/internal/*/*.go", "../internal/*/*.go"} {
		for file := range read(t, pattern) {
			if dir := filepath.ToSlash(filepath.Dir(file))[3:]; !strings.HasSuffix(dir, "test") { // registrytest and others are for tests
				dirs = append(dirs, dir)
			}
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// handbookRows returns the patterns in the first column of the tables of messages.
func handbookRows(t *testing.T) map[string]bool {
	t.Helper()
	_, section, found := strings.Cut(read(t, "handbook.md")["handbook.md"], "\n## Messages\n")
	if !found {
		t.Fatal("handbook.md: got no section Messages, want one")
	}
	patterns := map[string]bool{}
	for _, row := range rowRE.FindAllStringSubmatch(section, -1) {
		for _, span := range spanRE.FindAllStringSubmatch(row[1], -1) {
			patterns[span[1]] = false
		}
	}
	return patterns
}

// matches reports whether a message has the parts of a pattern in their order. The first part
// begins the message unless the pattern starts with "…";
func matches(pattern, message string) bool {
	parts := strings.Split(pattern, "…")
	if !strings.HasPrefix(message, parts[0]) {
		return false
	}
	for _, part := range parts {
		_, rest, found := strings.Cut(message, part)
		if !found {
			return false
		}
		message = rest
	}
	return true
}

// TestHandbookExplainsMessages holds that the handbook has a row for every message, and that
// each row is for a message. It collects the messages from the code.
func TestHandbookExplainsMessages(t *testing.T) {
	t.Parallel()
	rows := handbookRows(t)
	names := map[string]string{}
	for _, rule := range check.All() {
		names[rule.Describe().Name] = "a rule of pkg/check"
	}
	for name, file := range map[string]string{"actions": "pkg/plan/action.go", "statuses": "pkg/plan/action.go", "driftKind": "pkg/audit/drift.go", "outcome": "pkg/audit/verdict.go"} {
		for _, text := range named(t, file, name) {
			names[text] = name + " of " + file
		}
	}
	found := map[string]bool{}
	for dir, makers := range messageDirs {
		all := messages(t, dir, makers)
		for _, message := range slices.Sorted(maps.Keys(all)) {
			_, explained := notMessages[message]
			explained = explained || all[message].context
			for pattern := range rows {
				if names[pattern] == "" && matches(pattern, message) {
					rows[pattern], explained = true, true
				}
			}
			found[message] = true
			if !explained {
				t.Errorf("handbook.md: got no row for %q (%s), want one in section Messages", message, all[message].at)
			}
		}
	}
	for _, dir := range packageDirs(t) {
		if _, ok := messageDirs[dir]; !ok && len(messages(t, dir, errorMakers)) > 0 {
			t.Errorf("%s: got messages, want it in messageDirs", dir)
		}
	}
	if len(found) < 400 {
		t.Errorf("got %d messages, want more: they are not found any more", len(found))
	}
	for text := range notMessages {
		if !found[text] {
			t.Errorf("got %q in notMessages, which is not in the code", text)
		}
	}
	for name, of := range names {
		if _, ok := rows[name]; !ok {
			t.Errorf("handbook.md: got no row for %q, %s, want one in section Messages", name, of)
		}
		rows[name] = true
	}
	for pattern, used := range rows {
		if !used && !foreignMessageRE.MatchString(pattern) {
			t.Errorf("handbook.md: got a row for %q, want none: there is no such message", pattern)
		}
	}
}

// named returns the strings of a table such as actions, or the constants of a type, in a file.
func named(t *testing.T, file, name string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	add := func(es []ast.Expr) {
		for _, e := range es {
			if text, ok := (&collector{}).literal(e); ok && text != "" {
				all = append(all, text)
			}
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := v.Type.(*ast.Ident); ok && of.Name == name {
			add(v.Values)
		}
		if len(v.Values) == 1 && v.Names[0].Name == name {
			if list, ok := v.Values[0].(*ast.CompositeLit); ok {
				add(list.Elts)
			}
		}
		return true
	})
	if len(all) < 3 {
		t.Errorf("%s: got %d texts of %s, want more: they are not found any more", file, len(all), name)
	}
	return all
}
