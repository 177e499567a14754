package audit

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

var (
	digestA = image.Hash("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	digestB = image.Hash("sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
)

// samples are notifications as the systems send them, and the events in them.
var samples = []struct {
	name, system, host, body string
	header                   http.Header
	want                     []Event
}{
	{
		name: "push by tag", system: "distribution",
		body: `{"events":[{"id":"e1","timestamp":"2026-01-02T03:04:05Z","action":"push","target":{"mediaType":"application/vnd.oci.image.index.v1+json","size":708,"digest":"` + digestA.String() + `","length":708,"repository":"prod/apple","url":"http://r.example.com:5000/v2/prod/apple/manifests/` + digestA.String() + `","tag":"1.0"},"request":{"id":"q","addr":"10.0.0.1:1","host":"r.example.com:5000","method":"PUT","useragent":"cip"},"actor":{"name":"robot"},"source":{"addr":"x:5000","instanceID":"i"}}]}`,
		want: []Event{{ID: "e1", Action: Push, Repository: image.NewRepository("r.example.com:5000", "prod/apple"), Tag: "1.0", Digest: digestA, Actor: "robot"}},
	},
	{
		name: "deletions, a pull, a blob, a whole repository", system: "distribution", host: "outside.example.com",
		body: `{"events":[{"id":"1","action":"delete","target":{"repository":"a","tag":"t"},"request":{"host":"inside:5000"}},
			{"id":"2","action":"delete","target":{"repository":"a","digest":"` + digestA.String() + `"},"request":{"host":"inside:5000"}},
			{"id":"3","action":"pull","target":{"repository":"a","digest":"` + digestA.String() + `","url":"http://inside:5000/v2/a/manifests/x"},"request":{"host":"inside:5000"}},
			{"id":"4","action":"push","target":{"mediaType":"application/octet-stream","repository":"a","digest":"` + digestA.String() + `","url":"http://inside:5000/v2/a/blobs/x"},"request":{"host":"inside:5000"}},
			{"id":"5","action":"delete","target":{"repository":"a"},"request":{"host":"inside:5000"}}]}`,
		want: []Event{
			{ID: "1", Action: Delete, Repository: image.NewRepository("outside.example.com", "a"), Tag: "t"},
			{ID: "2", Action: Delete, Repository: image.NewRepository("outside.example.com", "a"), Digest: digestA},
			{ID: "3", Action: Other, Repository: image.NewRepository("outside.example.com", "a"), Digest: digestA},
			{ID: "4", Action: Other, Repository: image.NewRepository("outside.example.com", "a"), Digest: digestA},
			{ID: "5", Action: Delete, Repository: image.NewRepository("outside.example.com", "a")},
		},
	},
	{
		name: "what looks like a blob", system: "distribution",
		body: `{"events":[{"id":"1","action":"push","target":{"mediaType":"m","repository":"blobs/a","digest":"` + digestA.String() + `","url":"http://r.example.com/v2/blobs/a/manifests/` + digestA.String() + `"},"request":{"host":"r.example.com"}},
			{"id":"2","action":"push","target":{"mediaType":"application/octet-stream","repository":"a","digest":"` + digestA.String() + `","tag":"t"},"request":{"host":"r.example.com"}},
			{"id":"3","action":"push","target":{"mediaType":"application/octet-stream","repository":"a","digest":"` + digestA.String() + `","url":"http://r.example.com/v2/a/manifests/x"},"request":{"host":"r.example.com"}},
			{"id":"4","action":"delete","target":{"mediaType":"application/octet-stream","repository":"a","digest":"` + digestA.String() + `"},"request":{"host":"r.example.com"}}]}`,
		want: []Event{
			{ID: "1", Action: Push, Repository: image.NewRepository("r.example.com", "blobs/a"), Digest: digestA},
			{ID: "2", Action: Push, Repository: image.NewRepository("r.example.com", "a"), Tag: "t", Digest: digestA},
			{ID: "3", Action: Push, Repository: image.NewRepository("r.example.com", "a"), Digest: digestA},
			{ID: "4", Action: Delete, Repository: image.NewRepository("r.example.com", "a"), Digest: digestA},
		},
	},
	{
		name: "names that cannot be", system: "distribution",
		body: `{"events":[{"id":"1","action":"push","target":{"repository":"a","tag":"-","digest":"sha512:1"},"request":{"host":"r.example.com"}}]}`,
		want: []Event{{ID: "1", Action: Push, Repository: image.NewRepository("r.example.com", "a"), Fault: `bad digest "sha512:1": want sha256: and 64 lower-case hexadecimal digits`}},
	},
	{
		name: "paths that cannot be", system: "distribution",
		body: `{"events":[{"id":"1","action":"push","target":{"repository":"prod/a/B","tag":"t"},"request":{"host":"r.example.com"}},
			{"id":"2","action":"push","target":{"repository":"prod/` + strings.Repeat("a", 250) + `","tag":"t"},"request":{"host":"r.example.com"}},
			{"id":"3","action":"delete","target":{"repository":"B","tag":"t"},"request":{"host":"r.example.com"}}]}`,
		want: []Event{
			{ID: "1", Action: Push, Repository: image.NewRepository("r.example.com", "prod/a"), Tag: "t", Fault: `bad repository name "prod/a/B": want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'`},
			{ID: "2", Action: Push, Repository: image.NewRepository("r.example.com", "prod"), Tag: "t", Fault: `bad repository name "prod/` + strings.Repeat("a", 135) + `…": r.example.com and it are longer than 255 bytes`},
			{ID: "3", Action: Delete, Tag: "t", Fault: `bad repository name "B": want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'`},
		},
	},
	{name: "quota", system: "harbor", body: `{"type":"QUOTA_EXCEED","occur_at":1,"event_data":{"resources":[{"digest":"` + digestA.String() + `"}],"repository":{"repo_full_name":"b/a"}}}`},
	{
		name: "two artifacts", system: "harbor",
		body: `{"type":"PUSH_ARTIFACT","occur_at":1,"operator":"admin","event_data":{"resources":[{"digest":"` + digestA.String() + `","tag":"1.0","resource_url":"harbor.example.com/prod/apple:1.0"},{"digest":"` + digestB.String() + `","tag":"` + digestB.String() + `","resource_url":"harbor.example.com/prod/apple@` + digestB.String() + `"}],"repository":{"name":"apple","namespace":"prod","repo_full_name":"prod/apple","repo_type":"private"}}}`,
		want: []Event{
			{ID: "*", Action: Push, Repository: image.NewRepository("harbor.example.com", "prod/apple"), Tag: "1.0", Digest: digestA, Actor: "admin"},
			{ID: "*", Action: Push, Repository: image.NewRepository("harbor.example.com", "prod/apple"), Digest: digestB, Actor: "admin"},
		},
	},
	{
		name: "CloudEvent", system: "harbor",
		body: `{"specversion":"1.0","id":"c1","source":"/projects/1","type":"harbor.artifact.deleted","operator":"admin","data":{"resources":[{"digest":"` + digestA.String() + `","tag":"1.0","resource_url":"harbor.example.com/prod/apple:1.0"}],"repository":{"repo_full_name":"prod/apple"}}}`,
		want: []Event{{ID: "c1", Action: Delete, Repository: image.NewRepository("harbor.example.com", "prod/apple"), Tag: "1.0", Digest: digestA, Actor: "admin"}},
	},
	{
		name: "structured", system: "zot", host: "zot.example.com",
		body: `{"specversion":"1.0","id":"z1","source":"zotregistry.dev","type":"zotregistry.image.updated","data":{"name":"prod/apple","reference":"1.0","digest":"` + digestA.String() + `","mediaType":"m","manifest":"{}","actor":{"name":"x"}}}`,
		want: []Event{{ID: "z1", Action: Push, Repository: image.NewRepository("zot.example.com", "prod/apple"), Tag: "1.0", Digest: digestA, Actor: "x"}},
	},
	{
		name: "binary, by digest", system: "zot", host: "zot.example.com", header: http.Header{"Ce-Type": {"zotregistry.image.deleted"}, "Ce-Id": {"z2"}},
		body: `{"name":"prod/apple","reference":"` + digestA.String() + `"}`,
		want: []Event{{ID: "z2", Action: Delete, Repository: image.NewRepository("zot.example.com", "prod/apple"), Digest: digestA}},
	},
	{
		name: "scan", system: "zot", host: "zot.example.com",
		body: `{"id":"z3","type":"zotregistry.image.scanned","data":{"name":"prod/apple","reference":"1.0"}}`,
		want: []Event{{ID: "z3", Action: Other, Repository: image.NewRepository("zot.example.com", "prod/apple"), Tag: "1.0"}},
	},
	{
		name: "push", system: "ecr",
		body: `{"version":"0","id":"a1","detail-type":"ECR Image Action","source":"aws.ecr","account":"123456789012","region":"us-west-2","detail":{"result":"SUCCESS","repository-name":"prod/apple","image-digest":"` + digestA.String() + `","action-type":"PUSH","image-tag":"1.0"}}`,
		want: []Event{{ID: "a1", Action: Push, Repository: image.NewRepository("123456789012.dkr.ecr.us-west-2.amazonaws.com", "prod/apple"), Tag: "1.0", Digest: digestA}},
	},
	{
		name: "failed push", system: "ecr",
		body: `{"id":"a2","detail-type":"ECR Image Action","account":"1","region":"r","detail":{"result":"FAILURE","repository-name":"a","action-type":"PUSH"}}`,
		want: []Event{{ID: "a2", Action: Other, Repository: image.NewRepository("1.dkr.ecr.r.amazonaws.com", "a")}},
	},
	{
		name: "push", system: "dockerhub",
		body: `{"push_data":{"pushed_at":1,"images":[],"tag":"1.0","pusher":"me"},"callback_url":"http://169.254.169.254/","repository":{"repo_name":"team/apple","name":"apple","namespace":"team"}}`,
		want: []Event{{Action: Push, Repository: image.NewRepository("docker.io", "team/apple"), Tag: "1.0", Actor: "me"}},
	},
	{
		name: "push of two tags", system: "quay",
		body: `{"name":"apple","repository":"team/apple","namespace":"team","docker_url":"quay.example.com/team/apple","homepage":"https://quay.example.com/repository/team/apple","updated_tags":["1.0","latest"]}`,
		want: []Event{
			{Action: Push, Repository: image.NewRepository("quay.example.com", "team/apple"), Tag: "1.0"},
			{Action: Push, Repository: image.NewRepository("quay.example.com", "team/apple"), Tag: "latest"},
		},
	},
	{
		name: "push", system: "acr",
		body: `{"id":"m1","timestamp":"t","action":"push","target":{"mediaType":"m","size":1,"digest":"` + digestA.String() + `","length":1,"repository":"apple","tag":"1.0"},"request":{"id":"r","host":"team.azurecr.io","method":"PUT"}}`,
		want: []Event{{ID: "m1", Action: Push, Repository: image.NewRepository("team.azurecr.io", "apple"), Tag: "1.0", Digest: digestA}},
	},
	{name: "ping", system: "acr", body: `{"id":"m2","action":"ping"}`},
}

func TestDecode(t *testing.T) {
	t.Parallel()
	all := decoders()
	for _, s := range samples {
		t.Run(s.system+" "+s.name, func(t *testing.T) {
			t.Parallel()
			header := s.header
			if header == nil {
				header = http.Header{}
			}
			got, err := all[s.system](notification{Body: []byte(s.body), Header: header, Host: s.host})
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.want {
				s.want[i].Source = s.system
				if s.want[i].ID == "*" && i < len(got) && got[i].ID != "" {
					s.want[i].ID = got[i].ID
				}
			}
			if diff := cmp.Diff(s.want, got, cmpopts.EquateComparable(name.Repository{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	many := `{"events":[` + strings.Repeat("{},", maxEvents) + `{}]}`
	for name, decode := range decoders() {
		for _, body := range []string{"", "null x", "[]", `"text"`, "{}", many} {
			events, err := decode(notification{Body: []byte(body), Header: http.Header{}})
			for _, e := range events {
				if err == nil && e.Fault == "" {
					t.Errorf("%s: %.20q gives %+v", name, body, e)
				}
			}
		}
	}
}

func TestKeysTellEventsApart(t *testing.T) {
	t.Parallel()
	base := Event{ID: "1", Source: "zot", Action: Push, Repository: image.NewRepository("r.example.com", "a"), Tag: "t"}
	seen := map[string]string{}
	for name, change := range map[string]func(*Event){
		"same":       func(*Event) {},
		"id":         func(e *Event) { e.ID = "2" },
		"source":     func(e *Event) { e.Source = "acr" },
		"action":     func(e *Event) { e.Action = Delete },
		"tag":        func(e *Event) { e.Tag = "u" },
		"digest":     func(e *Event) { e.Digest = digestA },
		"repository": func(e *Event) { e.Repository = image.NewRepository(e.Repository.RegistryStr(), "b") },
	} {
		e := base
		change(&e)
		if other, ok := seen[e.key()]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[e.key()] = name
	}
	base.ID = ""
	if base.key() != "" {
		t.Error("an event without an id has a key")
	}
}

// FuzzDecode holds every decoder against any bytes: no panic, bounded, valid names, text that can be stored.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add(s.system, s.host, s.header.Get("Ce-Type"), []byte(s.body))
	}
	f.Add(pubsubSource, "", "", []byte(pubsubBody("1", "INSERT", "r.example.com/a", "t", digestA.String())))
	all := decoders()
	f.Fuzz(func(t *testing.T, system, host, kind string, body []byte) {
		n := notification{Body: body, Header: http.Header{}, Host: host}
		if kind != "" {
			n.Header.Set("Ce-Type", kind)
		}
		var events []Event
		if decode := all[system]; decode != nil {
			events, _ = decode(n)
		} else if e, err := decodePubSub(n); err == nil {
			events = []Event{e}
		}
		if len(events) > maxEvents {
			t.Fatalf("%d events", len(events))
		}
		for _, e := range events {
			if e.Tag != "" && image.CheckTag(e.Tag) != nil {
				t.Errorf("tag %q", e.Tag)
			}
			if _, err := image.ParseDigest(e.Digest.String()); e.Digest != (v1.Hash{}) && err != nil {
				t.Errorf("digest %q", e.Digest)
			}
			if _, err := image.ParseRepository(e.Repository.String()); e.Repository != (name.Repository{}) && err != nil {
				t.Errorf("repository %q", e.Repository)
			}
			if e.Repository == (name.Repository{}) && e.Fault == "" {
				t.Error("an event without a repository has no fault")
			}
			raw, err := json.Marshal(e)
			if err != nil || !utf8.Valid(raw) || len(e.ID) > maxText || len(e.Actor) > maxText {
				t.Errorf("%+v: %v", e, err)
			}
			if text := (Verdict{Event: e, Outcome: Ignored}).Text(); strings.ContainsAny(text, "\n\r\x1b") {
				t.Errorf("text %q", text)
			}
		}
	})
}
