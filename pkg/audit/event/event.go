// Package event reads the notifications that registries send about changes.
//
// Each system has a format and a decoder: CNCF distribution, Harbor, zot, Quay,
// Docker Hub, Amazon ECR, Azure, and Google by Pub/Sub. A decoder turns one
// notification into Events. It is a package of its own because the formats know
// nothing of manifests and verdicts. It never judges an event, and it never reads
// or sends anything.
package event

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// Action is the action that an event reports.
type Action string

// The actions.
//
// A replication is a push to its destination. Other actions change nothing: they are
// counted by their kind and not judged.
const (
	Push   Action = "push"
	Delete Action = "delete"
	Other  Action = "other"
)

// Event is a report that something happened in a repository.
//
// It is a hint where to look, and not evidence: anybody may have sent it.
type Event struct {
	ID         string          `json:"id,omitempty"` // of the sender, who uses it again for a retry; empty: none
	Source     string          `json:"source"`       // the system: a key of Decoders, or PubSub
	Action     Action          `json:"action"`
	Repository name.Repository `json:"repository"`
	Tag        string          `json:"tag,omitempty"`
	Digest     v1.Hash         `json:"digest,omitzero"`
	Actor      string          `json:"actor,omitempty"` // person or account, as the sender says
	Fault      string          `json:"fault,omitempty"` // problem with the names, which are then empty
	Received   time.Time       `json:"received"`

	Kind    string `json:"-"` // of Other: the name that the system has for it
	Unknown bool   `json:"-"` // of Other: cip does not know that kind
}

// other returns an event that is not judged.
//
// known are the kinds that change nothing.
func other(kind string, known ...string) Event {
	return Event{Action: Other, Kind: Clip(kind), Unknown: !slices.Contains(known, kind)}
}

// Ref returns the reference of the event, for messages.
func (e Event) Ref() string {
	if e.Repository == (name.Repository{}) {
		return "an unnamed repository"
	}
	return image.JoinReference(e.Repository.String(), e.Tag, e.Digest)
}

// Key identifies an event that is sent again.
//
// It depends on the id of the sender and on what the event says: with the id alone,
// a forged event could hide another one. It is empty for events without an id.
func (e Event) Key() string {
	if e.ID == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{e.Source, e.ID, string(e.Action), e.Ref(), e.Fault}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// Fingerprint identifies what an event says.
//
// It does not depend on the id, the actor or the time.
type Fingerprint [16]byte

// Fingerprint returns the fingerprint of the event.
func (e Event) Fingerprint() Fingerprint {
	sum := sha256.Sum256([]byte(strings.Join([]string{e.Source, string(e.Action), e.Ref(), e.Fault}, "\x00")))
	return Fingerprint(sum[:16])
}

// Notification is a request that a system sent.
type Notification struct {
	Body   []byte
	Header http.Header
	Host   string // of the registry, if the URL names it (?host=); empty: the sender names it
}

// Decoder parses the notifications of one system.
type Decoder func(Notification) ([]Event, error)

// Decoders returns the decoders by the name of their system.
//
// Pub/Sub is not among them: see DecodePubSub.
func Decoders() map[string]Decoder {
	all := map[string]Decoder{
		"acr":          decodeACR,
		"distribution": decodeDistribution,
		"dockerhub":    decodeDockerHub,
		"ecr":          decodeECR,
		"harbor":       decodeHarbor,
		"quay":         decodeQuay,
		"zot":          decodeZot,
	}
	for source, decode := range all {
		all[source] = func(n Notification) ([]Event, error) {
			events, err := decode(n)
			for i := range events {
				events[i].Source = source
			}
			return events, err
		}
	}
	return all
}

const (
	maxEvents = 1000 // in one notification
	maxText   = 256  // bytes of an id, an actor or a kind
)

// errNoHost is the error about a notification that names no registry.
var errNoHost = errors.New("the notification names no registry host: add ?host=HOST to the URL that it is sent to")

// parse parses a JSON body into v.
//
// Ambiguous keys are an error. A sender with another reader of JSON could mean a push
// where cip reads an action that is not judged.
func parse(body []byte, v any) error {
	err := strictjson.Unmarshal(body, v)
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case ok && wrong.Field != "":
		return fmt.Errorf("parsing the notification: %s has the wrong type: %s", wrong.Field, wrong.Value)
	case ok:
		return fmt.Errorf("parsing the notification: want an object, not %s", wrong.Value)
	case err != nil:
		return fmt.Errorf("parsing the notification: %w", err)
	}
	return nil
}

// reference is what a sender says that an event is about.
//
// Each field may be empty.
type reference struct{ host, path, tag, digest string }

// referenceTo returns a reference to ref, which is a tag or a digest.
func referenceTo(host, path, ref, digest string) reference {
	if strings.Contains(ref, ":") {
		return reference{host, path, "", ref}
	}
	return reference{host, path, ref, digest}
}

// refer sets the repository, the tag and the digest.
//
// The host in the URL of the receiver takes precedence over that of the sender. An
// invalid name is not an error: senders would retry the notification forever, and
// send no others. For an invalid path, the repository is the valid part at its
// beginning, so that the event is rejected if that is in a destination. The reference
// of an event that is not judged is only for messages: invalid names are left out.
func (e *Event) refer(n Notification, r reference) error {
	host := cmp.Or(n.Host, r.host)
	switch {
	case host == "" && e.Action == Other:
		return nil
	case host == "":
		return errNoHost
	}
	repo, err := image.ParseRepository(host + "/" + r.path)
	if err != nil {
		e.Fault = err.Error()
	}
	for i := len(r.path); err != nil && i > 0; {
		if i = strings.LastIndexByte(r.path[:i], '/'); 0 < i && i < maxText {
			repo, err = image.ParseRepository(host + "/" + r.path[:i])
		}
	}
	e.Repository = repo
	e.names(r.tag, r.digest)
	if e.Action == Other {
		e.Fault = ""
	}
	return nil
}

// names sets the tag and the digest. Either may be empty.
func (e *Event) names(tag, digest string) {
	if tag != "" {
		if err := image.CheckTag(tag); err != nil {
			e.Fault = err.Error()
			tag = ""
		}
		e.Tag = tag
	}
	if digest != "" {
		d, err := image.ParseDigest(digest)
		if err != nil {
			e.Fault = err.Error()
		}
		e.Digest = d
	}
}

// splitRef splits "host/path[:tag][@digest]".
func splitRef(ref string) (repo, tag, digest string) {
	ref, digest, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref, tag = ref[:i], ref[i+1:]
	}
	return ref, tag, digest
}

// Clip shortens text of senders that is kept or printed.
//
// Bytes that are not UTF-8, which a header may have, would not be the same when they
// are read again.
func Clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

// bodyID returns an id for a notification without one.
//
// It is for notifications that have the time of the event: if two of them have equal
// bytes, they are the same.
func bodyID(body []byte, index int) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf("%x-%d", sum[:16], index)
}

// tooMany returns an error if a notification has more than maxEvents events.
func tooMany(n int) error {
	if n > maxEvents {
		return fmt.Errorf("the notification has %d events: more than %d are refused", n, maxEvents)
	}
	return nil
}
