package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLimits compares the numbers in the pages with the constants in the code.
func TestLimits(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for _, limit := range []struct {
		page, text string // text is part of a sentence; # is the number
		dir, name  string // of the constant
		unit       int64  // the number counts this many of the constant
	}{
		{"promotion.md", "| a manifest | # MiB |", "registry", "MaxManifest", 1 << 20},
		{"promotion.md", "| blobs or children of one manifest | # |", "registry", "MaxChildren", 1},
		{"promotion.md", "| a page of a tag list | # MiB |", "registry", "maxPage", 1 << 20},
		{"promotion.md", "| pages of a list | # |", "registry", "maxPages", 1},
		{"promotion.md", "| names in a list | # |", "registry", "maxNames", 1},
		{"promotion.md", "| a blob that passes through, not mounted | # GiB |", "transfer", "maxBlob", 1 << 30},
		{"promotion.md", "| indexes within indexes | # |", "promote", "maxDepth", 1},
		{"promotion.md", "| manifests below one digest | # |", "promote", "maxNodes", 1},
		{"promotion.md", "A body larger than # KiB is held in a file", "transfer", "spoolMemory", 1 << 10},
		{"promotion.md", "A blob of up to # KiB is sent with the POST", "registry", "maxPosted", 1 << 10},
		{"promotion.md", "with one blob of up to # KiB; other small blobs wait", "registry", "maxFirstPost", 1 << 10},
		{"promotion.md", "wait for that for up to # s", "registry", "firstPostTime", int64(time.Second)},
		{"promotion.md", "A blob of up to # KiB is sent without asking", "transfer", "spoolMemory", 1 << 10},
		{"promotion.md", "a smaller one while # MiB of bodies are in memory", "transfer", "maxMemory", 1 << 20},
		{"promotion.md", "At most # GiB of bodies are held at a time", "transfer", "maxSpooled", 1 << 30},
		{"promotion.md", "but at most # GiB: a blob that does not fit", "transfer", "maxFree", 1 << 30},
		{"promotion.md", "At most four blobs of # MiB or more", "transfer", "largeBlob", 1 << 20},
		{"promotion.md", "Referrers of referrers are followed, up to # for a digest", "promote", "maxReferrers", 1},
		{"promotion.md", "A request is tried # times on connection errors", "registry/internal/wire", "maxTries", 1},
		{"promotion.md", "520 to 527, # times on", "registry/internal/wire", "maxThrottled", 1},
		{"promotion.md", "A wait of more than # s is logged", "registry/internal/wire", "longWait", int64(time.Second)},
		{"promotion.md", "fails after # tries or 2 minutes", "registry/internal/wire", "maxThrottled", 1},
		{"promotion.md", "and # times if its answer does not begin in time", "registry/internal/wire", "maxLate", 1},
		{"promotion.md", "The first wait is # ms, at most", "registry/internal/wire", "defaultBackoff", int64(time.Millisecond)},
		{"promotion.md", "it doubles up to # s", "registry/internal/wire", "maxBackoff", int64(time.Second)},
		{"promotion.md", "it starts again after asking for the blob, # times at most", "registry", "UploadTries", 1},
		{"promotion.md", "own PUT took, up to # s", "promote", "maxRace", int64(time.Second)},
		{"promotion.md", "It begins with # requests in flight", "registry/internal/pace", "startInFlight", 1},
		{"promotion.md", "up to # requests a second or", "registry/internal/pace", "startRate", 1},
		{"promotion.md", "or # in flight, whichever is more", "registry/internal/pace", "startFew", 1},
		{"promotion.md", "after the first # answers", "registry/internal/pace", "probation", 1},
		{"promotion.md", "dropped after # refusals in a row", "registry/internal/pace", "maxStrays", 1},
		{"promotion.md", "after fewer than # requests, or", "registry/internal/pace", "minAnswers", 1},
		{"promotion.md", "may be more, up to #, while answers stay quick", "registry/internal/pace", "maxInFlight", 1},
		{"promotion.md", "up to # where 100", "registry/internal/pace", "farInFlight", 1},
		{"promotion.md", "and after # up to", "registry/internal/pace", "farProbation", 1},
		{"promotion.md", "do not make # requests a second", "registry/internal/pace", "farRate", 1},
		{"selectors.md", "There may be # candidate tags", "resolve", "maxNewest", 1},
		{"selectors.md", "for each of its images, # at most", "resolve", "maxIndexImages", 1},
		{"registries.md", "# minutes. A helper that fails", "registry/internal/auth", "helperKept", int64(time.Minute)},
		{"promotion.md", "one for up to # repositories", "registry/internal/wire", "maxScopes", 1},
		{"output.md", "logs its progress every # seconds", "output", "logPace", int64(time.Second)},
		{"output.md", "With more than # hosts, the last bar", "output", "maxBars", 1},
	} {
		number := constant(t, "../pkg/"+limit.dir, limit.name)
		if number%limit.unit != 0 {
			t.Errorf("%s: got %d, want a multiple of %d", limit.name, number, limit.unit)
		}
		want := strings.ReplaceAll(limit.text, "#", thousands(number/limit.unit))
		text := strings.Join(strings.Fields(all[limit.page]), " ")
		if !strings.Contains(text, want) {
			t.Errorf("%s: got no %q, want it because of %s in pkg/%s", limit.page, want, limit.name, limit.dir)
		}
	}
}

// thousands returns a number with commas between groups of three digits.
func thousands(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// constant returns the value of a constant of a package. A duration is in nanoseconds.
func constant(t *testing.T, dir, name string) int64 {
	t.Helper()
	for file, text := range read(t, dir+"/*.go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				v := spec.(*ast.ValueSpec) //nolint:forcetypeassert // constants are values
				if v.Names[0].Name == name && len(v.Values) == 1 {
					return value(t, v.Values[0])
				}
			}
		}
	}
	t.Fatalf("%s: there is no constant %s", dir, name)
	return 0
}

// value evaluates an expression of integers and units of time.
func value(t *testing.T, e ast.Expr) int64 {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	case *ast.SelectorExpr:
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}
		return int64(units[e.Sel.Name])
	case *ast.BinaryExpr:
		x, y := value(t, e.X), value(t, e.Y)
		switch e.Op { //nolint:exhaustive // the rest follows
		case token.SHL:
			return x << y
		case token.MUL:
			return x * y
		}
	}
	t.Fatalf("cannot evaluate %T: want numbers, <<, * and units of time", e)
	return 0
}
