package attest_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

var when = time.Date(2026, 11, 2, 6, 30, 0, 0, time.UTC)

// indented returns JSON with each field on a line of its own.
func indented(t *testing.T, raw []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", " "); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return b.String()
}

func TestRecord(t *testing.T) {
	t.Parallel()
	full := attest.Record{
		Name: "registry.k8s.io/orchard/apple", Digest: image.Hash(digest), Source: image.NewRepository("staging.example.com", "orchard/apple"),
		Tags: []string{"v2.1", "v2.1.0"}, Time: when, Builder: "https://promoter.example.com@v1.2.3",
		Manifest: attest.File{Name: "images/orchard/images.yaml", URI: "git+https://github.com/kubernetes/k8s.io", Commit: "3b18"},
		Promoter: attest.Promoter{Version: "v1.2.3", Commit: "9ae0"},
		Job:      attest.Job{Name: "post-promo", Type: "postsubmit", Build: "1985", Prow: "7c1e"},
	}
	later := attest.Record{Name: full.Name, Digest: full.Digest, Time: when.Add(time.Millisecond), Builder: full.Builder}
	outside := full
	outside.Manifest, outside.Tags, outside.Job, outside.Promoter = attest.File{Name: "promote.yaml"}, nil, attest.Job{Name: "deploy"}, attest.Promoter{}
	for name, tc := range map[string]struct {
		record attest.Record
		want   string
	}{
		"in a job": {full, `{
 "_type": "https://in-toto.io/Statement/v1",
 "subject": [
  {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  }
 ],
 "predicateType": "https://k8s.io/promo-tools/promotion/v1",
 "predicate": {
  "srcRef": "staging.example.com/orchard/apple@` + digest + `",
  "dstRef": "registry.k8s.io/orchard/apple",
  "digest": "` + digest + `",
  "timestamp": "2026-11-02T06:30:00Z",
  "builderId": "https://promoter.example.com@v1.2.3",
  "tags": [
   "v2.1",
   "v2.1.0"
  ],
  "source": {
   "name": "staging.example.com/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  },
  "destination": {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  },
  "manifest": {
   "name": "images/orchard/images.yaml",
   "uri": "git+https://github.com/kubernetes/k8s.io",
   "digest": {
    "gitCommit": "3b18"
   }
  },
  "promoter": {
   "version": "v1.2.3",
   "gitCommit": "9ae0"
  },
  "job": {
   "name": "post-promo",
   "type": "postsubmit",
   "buildId": "1985",
   "prowJobId": "7c1e"
  }
 }
}`},
		"later": {later, `{
 "_type": "https://in-toto.io/Statement/v1",
 "subject": [
  {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  }
 ],
 "predicateType": "https://k8s.io/promo-tools/promotion/v1",
 "predicate": {
  "dstRef": "registry.k8s.io/orchard/apple",
  "digest": "` + digest + `",
  "timestamp": "2026-11-02T06:30:00.001Z",
  "builderId": "https://promoter.example.com@v1.2.3",
  "destination": {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  }
 }
}`},
		"outside of git, tagless": {outside, `{
 "_type": "https://in-toto.io/Statement/v1",
 "subject": [
  {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  }
 ],
 "predicateType": "https://k8s.io/promo-tools/promotion/v1",
 "predicate": {
  "srcRef": "staging.example.com/orchard/apple@` + digest + `",
  "dstRef": "registry.k8s.io/orchard/apple",
  "digest": "` + digest + `",
  "timestamp": "2026-11-02T06:30:00Z",
  "builderId": "https://promoter.example.com@v1.2.3",
  "source": {
   "name": "staging.example.com/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  },
  "destination": {
   "name": "registry.k8s.io/orchard/apple",
   "digest": {
    "sha256": "` + digest[7:] + `"
   }
  },
  "manifest": {
   "name": "promote.yaml"
  },
  "job": {
   "name": "deploy"
  }
 }
}`},
	} {
		got, err := tc.record.Statement()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, indented(t, got)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestRepositoryURI(t *testing.T) {
	t.Parallel()
	const spec = `{"refs":{"org":"kubernetes","repo":"k8s.io","path_alias":"k8s.io/k8s.io"},
		"extra_refs":[{"org":"o","repo":"r","clone_uri":"https://me:secret@git.example.com/o/r.git"},{"org":"o","repo":"ssh","clone_uri":"git@example.com:o/ssh"}]}`
	for _, tc := range []struct{ remote, tree, spec, want string }{
		{"https://github.com/kubernetes/k8s.io", "/x", "", "git+https://github.com/kubernetes/k8s.io"},
		{"https://me:secret@github.com/kubernetes/k8s.io.git", "/x", "", "git+https://github.com/kubernetes/k8s.io"},
		{"git@github.com:kubernetes/k8s.io", "/x", "", ""},
		{"ssh://git@github.com/kubernetes/k8s.io", "/go/src/k8s.io/k8s.io", spec, "git+https://github.com/kubernetes/k8s.io"},
		{"", "/go/src/k8s.io/k8s.io/", spec, "git+https://github.com/kubernetes/k8s.io"},
		{"", "/go/src/github.com/o/r", spec, "git+https://git.example.com/o/r"},
		{"", "/go/src/github.com/o/ssh", spec, "git+https://github.com/o/ssh"},
		{"", "/go/src/github.com/o/another", spec, ""},
		{"", "/go/src/k8s.io/k8s.io", "{", ""},
	} {
		got := attest.RepositoryURI(tc.remote, tc.tree, func(key string) string { return map[string]string{"JOB_SPEC": tc.spec}[key] })
		if got != tc.want {
			t.Errorf("remote %q in %s: got %q, want %q", tc.remote, tc.tree, got, tc.want)
		}
	}
}

func TestJobOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  map[string]string
		want attest.Job
	}{
		"no job": {map[string]string{"JOB_TYPE": "periodic", "BUILD_ID": "1"}, attest.Job{}},
		"Prow": {map[string]string{"JOB_NAME": "promo", "JOB_TYPE": "postsubmit", "BUILD_ID": "1", "PROW_JOB_ID": "a-b"},
			attest.Job{Name: "promo", Type: "postsubmit", Build: "1", Prow: "a-b"}},
		"GitHub Actions": {map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_WORKFLOW": "Promote", "GITHUB_EVENT_NAME": "push", "GITHUB_RUN_ID": "2"},
			attest.Job{Name: "Promote", Type: "push", Build: "2"}},
		"GitLab": {map[string]string{"GITLAB_CI": "true", "CI_JOB_NAME": "promote", "CI_PIPELINE_SOURCE": "push", "CI_JOB_ID": "3"},
			attest.Job{Name: "promote", Type: "push", Build: "3"}},
	} {
		if got := attest.JobOf(func(key string) string { return tc.env[key] }); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}
