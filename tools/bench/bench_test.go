package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"GET /v2/":                               "ping",
		"GET /v2/_catalog?n=1000":                "catalog",
		"GET /v2/a/b/tags/list":                  "tag list",
		"HEAD /v2/a/manifests/v1":                "manifest HEAD",
		"PUT /v2/a/manifests/v1":                 "manifest PUT",
		"GET /v2/a/blobs/sha256:00":              "blob GET",
		"POST /v2/a/blobs/uploads/":              "upload POST",
		"POST /v2/a/blobs/uploads/?mount=x&from": "mount",
		"PUT /v2/a/blobs/uploads/1?digest=x":     "upload PUT",
		"DELETE /v2/a/blobs/uploads/1":           "upload DELETE",
		"GET /token":                             "other",
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := kindOf(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}

// The same requests meet the same faults in any order; another try meets its own.
func TestFaultsAreRepeatable(t *testing.T) {
	t.Parallel()
	draw := func(f *faults, i int) fault {
		what, _ := f.draw(httptest.NewRequest(http.MethodGet, "/v2/a/blobs/"+strings.Repeat("x", i), nil))
		return what
	}
	one, two := newFaults(0.5, 1, 0), newFaults(0.5, 1, 0)
	const n = 200
	first, again := map[int]fault{}, 0
	kinds := map[fault]int{}
	for i := range n {
		first[i] = draw(one, i)
		kinds[first[i]]++
		if draw(one, i) != first[i] {
			again++
		}
	}
	for i := n - 1; i >= 0; i-- {
		if got := draw(two, i); got != first[i] {
			t.Errorf("request %d: fault %d, then %d", i, first[i], got)
		}
	}
	if len(kinds) != 5 || kinds[none] < n/3 || kinds[none] > n*2/3 || again == 0 {
		t.Errorf("faults of %d requests, half of which should fail in four ways: %v, %d other ones at the next try", n, kinds, again)
	}
}

// A tag counts as promoted when all that belongs to it is there.
func TestComplete(t *testing.T) {
	t.Parallel()
	whole := index([]*object{image("amd64", []string{"a", "b"}), image("arm64", []string{"a", "c"})})
	h := &host{registry: newRegistry()}
	if err := (filler{h, map[string]struct{}{}}).object("x", "v1", whole); err != nil {
		t.Fatal(err)
	}
	if err := h.complete("x", "v1", whole); err != nil {
		t.Error(err)
	}
	more := *whole
	more.children = append(more.children, image("s390x", []string{"d"}))
	for name, err := range map[string]error{
		"another repository": h.complete("y", "v1", whole),
		"another digest":     h.complete("x", "v1", whole.children[0]),
		"a lost child":       h.complete("x", "v1", &more),
	} {
		if err == nil {
			t.Errorf("%s counts as complete", name)
		}
	}
}

// Figures of several runs are kept in one file; a new one takes the place of its predecessor.
func TestFiguresInPieces(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "figures.json")
	for _, one := range []*sample{
		{Scenario: "two", Client: ours, usage: usage{Wall: 2}, Requests: 10},
		{Scenario: "noop", Client: crane, usage: usage{Wall: 9}, Requests: 30},
		{Scenario: "noop", Client: ours, usage: usage{Wall: 5}, Requests: 10},
		{Scenario: "noop", Client: ours, usage: usage{Wall: 3}, Requests: 10},
	} {
		r, err := load(file)
		if err != nil {
			t.Fatal(err)
		}
		r.add(one)
		if err := r.save(file); err != nil {
			t.Fatal(err)
		}
	}
	r, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	r.compare()
	var got []string
	for _, s := range r.Samples {
		got = append(got, fmt.Sprintf("%s %s %g %g", s.Scenario, s.Client, s.Wall, s.TimesWall))
	}
	if want := []string{"noop cip 3 0", "noop crane 9 3", "two cip 2 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
