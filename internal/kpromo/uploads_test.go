package kpromo

import (
	"encoding/json"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

func TestUploads(t *testing.T) {
	t.Parallel()
	window := &Uploads{from: time.UnixMilli(1000), to: time.UnixMilli(2000)}
	tests := map[string]struct {
		repo, listed string
		want         bool
	}{
		"in the window":      {"a", `{"tag":["v1"],"timeUploadedMs":"1500"}`, true},
		"at its begin":       {"a", `{"tag":["v1"],"timeUploadedMs":1000}`, true},
		"at its end":         {"a", `{"tag":["v1"],"timeUploadedMs":"2000"}`, true},
		"before":             {"a", `{"tag":["v1"],"timeUploadedMs":"999"}`, false},
		"after":              {"a", `{"tag":["v1"],"timeUploadedMs":"2001"}`, false},
		"time unknown":       {"a", `{"tag":["v1"]}`, false},
		"time not a number":  {"a", `{"tag":["v1"],"timeUploadedMs":"soon"}`, false},
		"without tags":       {"a", `{"timeUploadedMs":"1500"}`, false},
		"signature":          {"a", `{"tag":["sha256-0.sig"],"timeUploadedMs":"1500"}`, false},
		"for one platform":   {"a-arm64", `{"tag":["v1"],"timeUploadedMs":"1500"}`, false},
		"a name with a dash": {"a-b", `{"tag":["v1"],"timeUploadedMs":"1500"}`, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo, err := image.ParseRepository("registry.example.com/" + tc.repo)
			if err != nil {
				t.Fatal(err)
			}
			var m registry.Listed
			if err := json.Unmarshal([]byte(tc.listed), &m); err != nil {
				t.Fatal(err)
			}
			if got := window.has(repo, m); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
