package output

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/history"
)

func TestWriteHistory(t *testing.T) {
	t.Parallel()
	e := history.Event{
		Action: history.Moved, Digest: "sha256:b", Previous: "sha256:a", Repository: "r.example/apple", Tag: "1.0", Team: "web", File: "images/web/images.yaml",
		Line: 3, Commit: "0123456789abcdef", Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Author: "a\x1b <a@example.com>", PullRequest: 7,
	}
	other := e
	other.Repository = "eu.example/apple"
	tests := map[string]struct {
		events []history.Event
		format Format
		want   string
	}{
		"text": {[]history.Event{e, other}, Text, "DATE        TEAM  ACTION  IMAGE                                          DIGEST                PLACE                     COMMIT        PULL REQUEST  AUTHOR\n" +
			"2026-01-02  web   moved   r.example/apple:1.0 (and 1 other destination)  sha256:a -> sha256:b  images/web/images.yaml:3  0123456789ab  #7            a\\x1b <a@example.com>\n"},
		"none": {nil, JSON, "[]\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := WriteHistory(&b, tc.events, tc.format); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, b.String()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
