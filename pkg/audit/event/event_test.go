package event

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
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

// samples are notifications of the systems, and the events in them.
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
			{Action: Other, Kind: "pull", Repository: image.NewRepository("outside.example.com", "a"), Digest: digestA},
			{Action: Other, Kind: "blob push", Repository: image.NewRepository("outside.example.com", "a"), Digest: digestA},
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
	{
		name: "mount, and what distribution does not send", system: "distribution",
		body: `{"events":[{"id":"1","action":"mount","target":{"repository":"a","digest":"` + digestA.String() + `"}},{"id":"2","action":"rename","target":{"repository":"a"}}]}`,
		want: []Event{{Action: Other, Kind: "mount"}, {Action: Other, Kind: "rename", Unknown: true}},
	},
	{name: "no events", system: "distribution", body: `{"events":[]}`, want: []Event{{Action: Other, Kind: "envelope without events", Unknown: true}}},
	{
		name: "quota", system: "harbor", body: `{"type":"QUOTA_EXCEED","occur_at":1,"event_data":{"resources":[{"digest":"` + digestA.String() + `"}],"repository":{"repo_full_name":"b/a"}}}`,
		want: []Event{{Action: Other, Kind: "QUOTA_EXCEED"}},
	},
	{
		name: "pull", system: "harbor", body: `{"type":"PULL_ARTIFACT","event_data":{"resources":[{"digest":"` + digestA.String() + `","tag":"1.0","resource_url":"harbor.example.com/prod/apple:1.0"}],"repository":{"repo_full_name":"prod/apple"}}}`,
		want: []Event{{Action: Other, Kind: "PULL_ARTIFACT", Repository: image.NewRepository("harbor.example.com", "prod/apple"), Tag: "1.0", Digest: digestA}},
	},
	{name: "pull of an invalid name", system: "distribution", host: "r.example.com", body: `{"events":[{"action":"pull","target":{"repository":"A","tag":"!"}}]}`, want: []Event{{Action: Other, Kind: "pull"}}},
	{name: "scan, CloudEvent", system: "harbor", body: `{"type":"harbor.scan.completed","data":{}}`, want: []Event{{Action: Other, Kind: "harbor.scan.completed"}}},
	{name: "what Harbor does not send", system: "harbor", body: `{"type":"RENAME","event_data":{}}`, want: []Event{{Action: Other, Kind: "RENAME", Unknown: true}}},
	{
		name: "push of nothing", system: "harbor", body: `{"type":"PUSH_ARTIFACT","event_data":{"resources":[]}}`,
		want: []Event{{Action: Other, Kind: "PUSH_ARTIFACT that names no artifact", Unknown: true}},
	},
	{
		name: "replication to Harbor", system: "harbor", host: "outside.example.com",
		body: `{"type":"REPLICATION","occur_at":1,"operator":"MANUAL","event_data":{"replication":{"harbor_hostname":"harbor.example.com","job_status":"Success","artifact_type":"image",
			"src_resource":{"registry_name":"hub","registry_type":"docker-hub","endpoint":"https://hub.docker.com","namespace":"library"},
			"dest_resource":{"registry_type":"harbor","endpoint":"https://harbor.example.com","namespace":"prod"},
			"successful_artifact":[{"type":"image","status":"Success","name_tag":"alpine:3.20"},{"type":"image","status":"Success","name_tag":"team/busybox [2 item(s) in total]"}]}}}`,
		want: []Event{
			{ID: "*", Action: Push, Repository: image.NewRepository("outside.example.com", "prod/alpine"), Tag: "3.20", Actor: "MANUAL"},
			{ID: "*", Action: Push, Repository: image.NewRepository("outside.example.com", "prod/team/busybox"), Actor: "MANUAL"},
		},
	},
	{
		name: "replication from Harbor, CloudEvent", system: "harbor", host: "outside.example.com",
		body: `{"id":"c2","type":"harbor.replication.status.changed","data":{"replication":{"harbor_hostname":"harbor.example.com","job_status":"Success",
			"src_resource":{"registry_type":"harbor","endpoint":"https://harbor.example.com","namespace":"staging"},
			"dest_resource":{"registry_name":"there","registry_type":"harbor","endpoint":"https://there.example.com:8443","namespace":"prod"},
			"successful_artifact":[{"name_tag":"prod/apple@` + digestA.String() + `"}]}}}`,
		want: []Event{{ID: "c2", Action: Push, Repository: image.NewRepository("there.example.com:8443", "prod/apple"), Digest: digestA}},
	},
	{
		name: "replication to Docker Hub", system: "harbor",
		body: `{"id":"c3","type":"REPLICATION","event_data":{"replication":{"src_resource":{"registry_type":"harbor"},"dest_resource":{"registry_name":"hub","registry_type":"docker-hub","endpoint":"https://hub.docker.com","namespace":"team"},"successful_artifact":[{"name_tag":"apple:1.0"}]}}}`,
		want: []Event{{ID: "c3", Action: Push, Repository: image.NewRepository("docker.io", "team/apple"), Tag: "1.0"}},
	},
	{
		name: "failed replication", system: "harbor",
		body: `{"type":"REPLICATION","event_data":{"replication":{"job_status":"Error","dest_resource":{"endpoint":"https://harbor.example.com","namespace":"prod"},"failed_artifact":[{"name_tag":"apple:1.0"}]}}}`,
		want: []Event{{Action: Other, Kind: "failed action"}},
	},
	{name: "replication of nothing", system: "harbor", body: `{"type":"REPLICATION","event_data":{}}`, want: []Event{{Action: Other, Kind: "REPLICATION that names no artifact", Unknown: true}}},
	{
		name: "tag retention", system: "harbor",
		body: `{"type":"TAG_RETENTION","occur_at":1,"operator":"SCHEDULE","event_data":{"retention":{"total":3,"retained":1,"harbor_hostname":"harbor.example.com","project_name":"prod","retention_policy_id":2,"result":"SUCCESS",
			"deleted_artifact":[{"type":"image","status":"SUCCESS","name_tag":"apple:1.0"},{"type":"image","status":"SUCCESS"}]}}}`,
		want: []Event{
			{ID: "*", Action: Delete, Repository: image.NewRepository("harbor.example.com", "prod/apple"), Tag: "1.0", Actor: "SCHEDULE"},
			{ID: "*", Action: Delete, Repository: image.NewRepository("harbor.example.com", "prod"), Actor: "SCHEDULE"},
		},
	},
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
		want: []Event{{Action: Other, Kind: "zotregistry.image.scanned", Repository: image.NewRepository("zot.example.com", "prod/apple")}},
	},
	{
		name: "new repository, without a host", system: "zot", body: `{"id":"z4","type":"zotregistry.repository.created","data":{"name":"prod/apple"}}`,
		want: []Event{{Action: Other, Kind: "zotregistry.repository.created"}},
	},
	{
		name: "types with a prefix of its own", system: "zot", host: "zot.example.com",
		body: `{"id":"z5","type":"com.example.registry.image.updated","data":{"name":"prod/apple","reference":"1.0","digest":"` + digestA.String() + `"}}`,
		want: []Event{{ID: "z5", Action: Push, Repository: image.NewRepository("zot.example.com", "prod/apple"), Tag: "1.0", Digest: digestA}},
	},
	{name: "what zot does not send", system: "zot", body: `{"type":"zotregistry.image.renamed"}`, want: []Event{{Action: Other, Kind: "zotregistry.image.renamed", Unknown: true}}},
	{
		name: "push", system: "ecr",
		body: `{"version":"0","id":"a1","detail-type":"ECR Image Action","source":"aws.ecr","account":"123456789012","region":"us-west-2","detail":{"result":"SUCCESS","repository-name":"prod/apple","image-digest":"` + digestA.String() + `","action-type":"PUSH","image-tag":"1.0"}}`,
		want: []Event{{ID: "a1", Action: Push, Repository: image.NewRepository("123456789012.dkr.ecr.us-west-2.amazonaws.com", "prod/apple"), Tag: "1.0", Digest: digestA}},
	},
	{
		name: "push in China", system: "ecr",
		body: `{"id":"e3","detail-type":"ECR Image Action","account":"123456789012","region":"cn-north-1","detail":{"result":"SUCCESS","repository-name":"a","action-type":"PUSH","image-tag":"1"}}`,
		want: []Event{{ID: "e3", Action: Push, Repository: image.NewRepository("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "a"), Tag: "1"}},
	},
	{
		name: "push in the European Sovereign Cloud", system: "ecr",
		body: `{"id":"e4","detail-type":"ECR Image Action","account":"123456789012","region":"eusc-de-east-1","detail":{"result":"SUCCESS","repository-name":"a","action-type":"PUSH","image-tag":"1"}}`,
		want: []Event{{ID: "e4", Action: Push, Repository: image.NewRepository("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "a"), Tag: "1"}},
	},
	{
		name: "failed push", system: "ecr",
		body: `{"id":"a2","detail-type":"ECR Image Action","account":"1","region":"r","detail":{"result":"FAILURE","repository-name":"a","action-type":"PUSH"}}`,
		want: []Event{{Action: Other, Kind: "failed action", Repository: image.NewRepository("1.dkr.ecr.r.amazonaws.com", "a")}},
	},
	{
		name: "replication, in the region that it arrives in", system: "ecr",
		body: `{"id":"a3","detail-type":"ECR Replication Action","account":"123456789012","region":"us-east-1","detail":{"result":"SUCCESS","repository-name":"prod/apple","image-digest":"` + digestA.String() + `","source-account":"999999999999","action-type":"REPLICATE","source-region":"us-west-2","image-tag":"1.0"}}`,
		want: []Event{{ID: "a3", Action: Push, Repository: image.NewRepository("123456789012.dkr.ecr.us-east-1.amazonaws.com", "prod/apple"), Tag: "1.0", Digest: digestA}},
	},
	{
		name: "failed replication", system: "ecr", body: `{"detail-type":"ECR Replication Action","detail":{"result":"FAILED","action-type":"REPLICATE"}}`,
		want: []Event{{Action: Other, Kind: "failed action"}},
	},
	{
		name: "pull through cache", system: "ecr",
		body: `{"id":"a4","detail-type":"ECR Pull Through Cache Action","account":"1","region":"r","detail":{"sync-status":"SUCCESS","ecr-repository-prefix":"prod","repository-name":"prod/apple","upstream-registry-url":"public.ecr.aws","image-tag":"1.0","image-digest":"` + digestA.String() + `"}}`,
		want: []Event{{ID: "a4", Action: Push, Repository: image.NewRepository("1.dkr.ecr.r.amazonaws.com", "prod/apple"), Tag: "1.0", Digest: digestA}},
	},
	{
		name: "deletion of a referrer", system: "ecr",
		body: `{"id":"a5","detail-type":"ECR Referrer Action","account":"1","region":"r","detail":{"result":"SUCCESS","repository-name":"a","image-digest":"` + digestA.String() + `","action-type":"DELETE"}}`,
		want: []Event{{ID: "a5", Action: Delete, Repository: image.NewRepository("1.dkr.ecr.r.amazonaws.com", "a"), Digest: digestA}},
	},
	{name: "scan", system: "ecr", body: `{"detail-type":"ECR Image Scan","detail":{"scan-status":"COMPLETE","repository-name":"a"}}`, want: []Event{{Action: Other, Kind: "ECR Image Scan"}}},
	{
		name: "what is not about images", system: "ecr", body: `{"detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"DeleteRepository"}}`,
		want: []Event{{Action: Other, Kind: "AWS API Call via CloudTrail", Unknown: true}},
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
		name: "another event", system: "quay", body: `{"repository":"team/apple","docker_url":"quay.example.com/team/apple","vulnerability":{"id":"CVE-1"}}`,
		want: []Event{{Action: Other, Kind: "webhook without updated_tags", Unknown: true, Repository: image.NewRepository("quay.example.com", "team/apple")}},
	},
	{
		name: "push", system: "acr",
		body: `{"id":"m1","timestamp":"t","action":"push","target":{"mediaType":"m","size":1,"digest":"` + digestA.String() + `","length":1,"repository":"apple","tag":"1.0"},"request":{"id":"r","host":"team.azurecr.io","method":"PUT"}}`,
		want: []Event{{ID: "m1", Action: Push, Repository: image.NewRepository("team.azurecr.io", "apple"), Tag: "1.0", Digest: digestA}},
	},
	{name: "ping", system: "acr", body: `{"id":"m2","action":"ping"}`, want: []Event{{Action: Other, Kind: "ping"}}},
	{name: "quarantine", system: "acr", body: `{"action":"quarantine"}`, want: []Event{{Action: Other, Kind: "quarantine"}}},
	{name: "what Azure does not send", system: "acr", body: `{"action":"rename"}`, want: []Event{{Action: Other, Kind: "rename", Unknown: true}}},
	{
		name: "deletion of a chart", system: "acr",
		body: `{"id":"m3","action":"chart_delete","target":{"repository":"apple","tag":"apple-1.0.tgz"},"request":{"host":"team.azurecr.io:443"}}`,
		want: []Event{{ID: "m3", Action: Delete, Repository: image.NewRepository("team.azurecr.io", "apple"), Tag: "apple-1.0.tgz"}},
	},
}

func TestDecode(t *testing.T) {
	t.Parallel()
	all := Decoders()
	for _, s := range samples {
		t.Run(s.system+" "+s.name, func(t *testing.T) {
			t.Parallel()
			header := s.header
			if header == nil {
				header = http.Header{}
			}
			got, err := all[s.system](Notification{Body: []byte(s.body), Header: header, Host: s.host})
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
	for name, decode := range Decoders() {
		for _, body := range []string{"", "null x", "[]", `"text"`, "{}", many} {
			events, err := decode(Notification{Body: []byte(body), Header: http.Header{}})
			for _, e := range events {
				if err == nil && e.Fault == "" && !e.Unknown {
					t.Errorf("%s: %.20q: got %+v, want an error or an unknown event", name, body, e)
				}
			}
		}
	}
}

// A body with a key twice could hide an event: another reader sees a push in it.
func TestDecodeRefusesTwoReadings(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		decode := Decoders()[s.system]
		if decode == nil {
			decode = func(n Notification) ([]Event, error) {
				e, err := DecodePubSub(n)
				return []Event{e}, err
			}
		}
		for _, extra := range ambiguous(s.body) {
			events, err := decode(Notification{Body: []byte(extra), Header: s.header, Host: s.host})
			if err == nil || !strings.Contains(err.Error(), "is repeated") {
				t.Errorf("%s: %s: got %+v and error %v, want an error that a key is repeated", s.name, extra, events, err)
			}
		}
	}
	data := base64.StdEncoding.EncodeToString([]byte(`{"action":"INSERT","Action":"DELETE","digest":"r.example.com/a@` + digestA.String() + `"}`))
	for _, body := range []string{`{"message":{"messageId":"1","data":"` + data + `"}}`, `{"action":"INSERT","action":"DELETE"}`} {
		if _, err := DecodePubSub(Notification{Body: []byte(body)}); err == nil || !strings.Contains(err.Error(), "is repeated") {
			t.Errorf("%s: got error %v, want one that a key is repeated", body, err)
		}
	}
}

// ambiguous returns bodies in which each key of a body is repeated in turn, as it is or in capitals.
func ambiguous(body string) []string {
	var all []string
	for _, at := range regexp.MustCompile(`"([A-Za-z_]+)":`).FindAllStringSubmatchIndex(body, -1) {
		key := body[at[2]:at[3]]
		for _, again := range []string{key, strings.ToUpper(key)} {
			all = append(all, body[:at[0]]+`"`+again+`":null,`+body[at[0]:])
		}
	}
	return all
}

func TestKeysDiffer(t *testing.T) {
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
		if other, ok := seen[e.Key()]; ok {
			t.Errorf("got the same key for %s and %s, want different ones", name, other)
		}
		seen[e.Key()] = name
	}
	base.ID = ""
	if base.Key() != "" {
		t.Errorf("key without an id: got %q, want none", base.Key())
	}
}

// An event that was stored is the same event.
func TestKeyOfStoredEvent(t *testing.T) {
	t.Parallel()
	header := http.Header{"Ce-Type": {"zotregistry.image.updated"}, "Ce-Id": {"1\xff2"}}
	events, err := Decoders()["zot"](Notification{Body: []byte(`{"name":"a","reference":"t"}`), Header: header, Host: "r.example.com"})
	if err != nil || len(events) != 1 {
		t.Fatalf("got %+v and error %v, want one event", events, err)
	}
	raw, err := json.Marshal(events[0])
	if err != nil {
		t.Fatal(err)
	}
	var stored Event
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	if got, want := stored.Key(), events[0].Key(); got != want {
		t.Errorf("got key %s of the stored event, want %s", got, want)
	}
}

// For any bytes, a decoder returns a bounded number of events with valid names, or an error.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add(s.system, s.host, s.header.Get("Ce-Type"), []byte(s.body))
	}
	f.Add(PubSub, "", "", []byte(`{"action":"INSERT","digest":"r.example.com/a@`+digestA.String()+`","tag":"r.example.com/a:t"}`))
	all := Decoders()
	f.Fuzz(func(t *testing.T, system, host, kind string, body []byte) {
		n := Notification{Body: body, Header: http.Header{}, Host: host}
		if kind != "" {
			n.Header.Set("Ce-Type", kind)
		}
		var events []Event
		if decode := all[system]; decode != nil {
			events, _ = decode(n)
		} else if e, err := DecodePubSub(n); err == nil {
			events = []Event{e}
		}
		if len(events) > maxEvents {
			t.Fatalf("got %d events, want %d at most", len(events), maxEvents)
		}
		for _, e := range events {
			if e.Tag != "" && image.CheckTag(e.Tag) != nil {
				t.Errorf("got tag %q, want a valid one", e.Tag)
			}
			if _, err := image.ParseDigest(e.Digest.String()); e.Digest != (v1.Hash{}) && err != nil {
				t.Errorf("got digest %q, want a valid one", e.Digest)
			}
			if _, err := image.ParseRepository(e.Repository.String()); e.Repository != (name.Repository{}) && err != nil {
				t.Errorf("got repository %q, want a valid one", e.Repository)
			}
			if e.Repository == (name.Repository{}) && e.Fault == "" && e.Action != Other {
				t.Error("got no fault for an event without a repository, want one")
			}
			raw, err := json.Marshal(e)
			if err != nil || !utf8.Valid(raw) || len(e.ID) > maxText || len(e.Actor) > maxText || len(e.Kind) > maxText {
				t.Errorf("got %+v, %v, want UTF-8, and texts of %d bytes at most", e, err, maxText)
			}
		}
	})
}
