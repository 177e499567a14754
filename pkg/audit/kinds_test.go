package audit

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// A subscription may unwrap messages, so that Pub/Sub sends only the change.
func TestUnwrappedPush(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	change := func(action, tag string) string {
		return fmt.Sprintf(`{"action":%q,"digest":"%[2]s/prod/apple@%[3]s","tag":"%[2]s/prod/apple:%[4]s"}`, action, reg.Host, apple.Digest, tag)
	}
	for _, test := range []struct {
		name, body, id, want string
	}{
		{"without metadata", change("INSERT", "1.0"), "", "VERIFIED: push"},
		{"the same once more: it has no id", change("INSERT", "1.0"), "", "VERIFIED: push"},
		{"with metadata", change("INSERT", "1.0"), "7", "VERIFIED: push"},
		{"the same message again", change("INSERT", "1.0"), "7", "VERIFIED: push"},
		{"of an unwanted tag", change("INSERT", "evil"), "8", "REJECTED: push"},
		{"a deletion", change("DELETE", "1.0"), "9", "REJECTED: delete"},
		{"an unknown action", change("EXPLODE", "1.0"), "10", "REJECTED: malformed"},
		{"another message", `{"kind":"storage#object"}`, "11", "REJECTED: malformed"},
	} {
		var header []string
		if test.id != "" {
			header = []string{"x-goog-pubsub-message-id", test.id, "x-goog-pubsub-subscription-name", "projects/p/subscriptions/s"}
		}
		if status, text := r.post("/", test.body, header...); status != http.StatusOK || !strings.HasPrefix(text, "TRANSACTION "+test.want) {
			t.Errorf("%s: got %d %s, want TRANSACTION %s", test.name, status, text, test.want)
		}
	}
	r.stop()
	if got, want := len(r.records), 7; got != want {
		t.Errorf("got %d verdicts, want %d: %+v", got, want, r.records)
	}
}

// A registry behind a proxy may call itself HOST:443.
func TestOneHost(t *testing.T) {
	t.Parallel()
	r := rulesOf(t, `registries:
- {name: r.example.com/staging, src: true}
- {name: "r.example.com:443/prod"}
images:
`+entry("apple", digestA, "1.0"))
	for _, host := range []string{"r.example.com", "r.example.com:443", "R.Example.com:443"} {
		events, err := event.Decoders()["distribution"](event.Notification{Body: []byte(distributionBody("1", "push", host, "prod/apple", "evil", digestB.String()))})
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: got %+v, %v, want one event", host, events, err)
		}
		if v, _ := r.consider(events[0]); v.Outcome != rejected || v.Event.Repository.String() != "r.example.com/prod/apple" {
			t.Errorf("%s: got %s, want REJECTED of r.example.com/prod/apple", host, v.Text())
		}
	}
}

// Events that are not judged are counted by kind, and unknown kinds are logged once.
func TestUnjudgedEvents(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	r := newRig(t, reg, "  []\n")
	for _, post := range []struct{ source, body, want string }{
		{"distribution", distributionBody("1", "pull", reg.Host, "prod/apple", "1.0", ""), "pull of " + reg.Host + "/prod/apple:1.0"},
		{"distribution", distributionBody("1", "pull", reg.Host, "prod/apple", "", digestA.String()), "pull of " + reg.Host + "/prod/apple@" + digestA.String()},
		{"distribution", distributionBody("2", "rename", reg.Host, "prod/apple", "1.0", ""), "rename of " + reg.Host + "/prod/apple:1.0"},
		{"distribution", distributionBody("3", "rename", reg.Host, "prod/apple", "1.0", ""), "rename of "},
		{"distribution", `{"events":[` + strings.Repeat(`{"action":"mount"},`, 6) + `{"action":"mount"}]}`, "mount, mount, and 2 more: counted"},
		{"harbor", `{"type":"PULL_ARTIFACT","event_data":{}}`, ": PULL_ARTIFACT: counted"},
		{"harbor", `{"type":"REPLICATION","event_data":{}}`, "REPLICATION that names no artifact"},
		{"ecr", `{"detail-type":"ECR Image Scan"}`, "ECR Image Scan"},
		{"acr", `{"action":"ping"}`, "ping"},
		{"quay", `{"repository":"a/b"}`, "webhook without updated_tags"},
		{"zot", `{"type":"zotregistry.repository.created"}`, "zotregistry.repository.created"},
	} {
		status, text := r.post("/events/"+post.source, post.body)
		if status != http.StatusAccepted || !strings.Contains(text, "; TRANSACTION IGNORED: ") || !strings.Contains(text, post.want) || !strings.Contains(text, ": counted, not stored") {
			t.Errorf("%s %s: got %d %s, want 202, IGNORED and %q", post.source, post.body, status, text, post.want)
		}
	}
	_, text := r.get("/metrics")
	for _, want := range []string{
		`{kind="pull",source="distribution"} 2`, `{kind="unknown",source="distribution"} 2`, `{kind="PULL_ARTIFACT",source="harbor"} 1`,
		`{kind="unknown",source="harbor"} 1`, `{kind="ECR_Image_Scan",source="ecr"} 1`, `{kind="ping",source="acr"} 1`,
		`{kind="unknown",source="quay"} 1`, `{kind="zotregistry.repository.created",source="zot"} 1`,
	} {
		if !strings.Contains(text, "cip_audit_unjudged_total"+want+"\n") {
			t.Errorf("/metrics has no line cip_audit_unjudged_total%s", want)
		}
	}
	r.stop()
	if len(r.records) != 0 {
		t.Errorf("got verdicts %+v, want none", r.records)
	}
	for word, want := range map[string]int{"rename": 1, "REPLICATION that names no artifact": 1, "updated_tags": 1, "pull": 0, "ping": 0} {
		got := 0
		for _, w := range r.warnings {
			if strings.Contains(w, word) {
				got++
			}
		}
		if got != want {
			t.Errorf("got %d warnings of %q, want %d: %q", got, word, want, r.warnings)
		}
	}
}

// Harbor sends notifications of replications, usually without the tags.
func TestReplication(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple, evil := registrytest.Image(1, 1), registrytest.Image(2, 1)
	pear := registrytest.MultiArch(3, 2, 1)
	for _, side := range []string{"src", "prod"} {
		reg.Push(t, side+"/apple", apple, "1.0")
		reg.Push(t, side+"/pear", pear, "2.0")
	}
	reg.Push(t, "prod/pear", evil, "evil")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0", "1.1")+entry("pear", pear.Digest, "2.0"))
	for i, test := range []struct {
		name, artifact, want string
	}{
		{"a wanted tag", "apple:1.0", "VERIFIED"},
		{"an unwanted tag", "apple:evil", "REJECTED"},
		{"a repository that holds what is wanted", "apple [1 item(s) in total]", "VERIFIED"},
		{"a repository that holds something else too", "pear [2 item(s) in total]", "REJECTED"},
		{"a repository that nothing is wanted in", "rogue [1 item(s) in total]", "REJECTED"},
	} {
		body := fmt.Sprintf(`{"id":%q,"type":"REPLICATION","event_data":{"replication":{"job_status":"Success","src_resource":{"registry_name":"hub","endpoint":"https://hub.example.com"},
			"dest_resource":{"registry_type":"harbor","endpoint":"http://%s","namespace":"prod"},"successful_artifact":[{"type":"image","status":"Success","name_tag":%q}]}}}`, test.name, reg.Host, test.artifact)
		if status, text := r.post("/events/harbor", body); status != http.StatusAccepted {
			t.Fatalf("%s: got %d %s, want 202", test.name, status, text)
		}
		if got := r.await(i + 1)[i]; string(got.Verdict) != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got.Text, test.want)
		}
	}
}
