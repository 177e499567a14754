// Package event reads the notifications that registries send about changes.
//
// Each system has a format and a decoder: CNCF distribution, Harbor, zot, Quay,
// Docker Hub, Amazon ECR, Azure, and Google by Pub/Sub. A decoder turns one
// notification into Events. It is a package of its own because the formats know
// nothing of manifests and verdicts. It never judges an event, and it never reads
// or sends anything.
package event

import (
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
)

// Action is what an event says was done.
type Action string

// The actions. A replication is a push to where it arrives. Whatever is neither a
// push nor a deletion changes nothing: it is counted by its kind and not judged.
const (
	Push   Action = "push"
	Delete Action = "delete"
	Other  Action = "other"
)

// Event is what a system says happened in a repository: a hint where to look.
type Event struct {
	ID         string          `json:"id,omitempty"` // the sender's, the same when it sends again; empty: it has none
	Source     string          `json:"source"`       // the system, as in /events/SOURCE; pubsub
	Action     Action          `json:"action"`
	Repository name.Repository `json:"repository"`
	Tag        string          `json:"tag,omitempty"`
	Digest     v1.Hash         `json:"digest,omitzero"`
	Actor      string          `json:"actor,omitempty"` // who did it, as the sender says
	Fault      string          `json:"fault,omitempty"` // what is wrong with the names; they are empty then
	Received   time.Time       `json:"received"`

	Kind    string `json:"-"` // of Other: what the system calls it
	Unknown bool   `json:"-"` // of Other: cip does not know that kind
}

// other returns an event that is not judged. known are the kinds that are known to change nothing.
func other(source, kind string, known ...string) Event {
	return Event{Source: source, Action: Other, Kind: Clip(kind), Unknown: !slices.Contains(known, kind)}
}

// Ref returns the reference that the event is about.
func (e Event) Ref() string {
	if e.Repository == (name.Repository{}) {
		return "an unnamed repository"
	}
	ref := e.Repository.String()
	if e.Tag != "" {
		ref += ":" + e.Tag
	}
	if e.Digest != (v1.Hash{}) {
		ref += "@" + e.Digest.String()
	}
	return ref
}

// Key names the event, so that one that is sent again is recognised: by the
// sender's id and what it says. An id alone would let a forged event hide another.
// It is empty for events without an id.
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

// Notification is a body that a system sent.
type Notification struct {
	Body   []byte
	Header http.Header
	Host   string // of the registry, where the receiver's URL says it (?host=)
}

// Decoder reads the notifications of one system.
type Decoder func(Notification) ([]Event, error)

// Decoders returns the Decoder of each system that sends to /events/NAME.
func Decoders() map[string]Decoder {
	return map[string]Decoder{
		"acr":          decodeACR,
		"distribution": decodeDistribution,
		"dockerhub":    decodeDockerHub,
		"ecr":          decodeECR,
		"harbor":       decodeHarbor,
		"quay":         decodeQuay,
		"zot":          decodeZot,
	}
}

const (
	maxEvents = 1000 // in one notification
	maxText   = 256  // bytes of an id or actor that are kept
)

// errNoHost says that a system's notifications do not name their registry.
var errNoHost = errors.New("the notification names no registry host: add ?host=HOST to the URL that it is sent to")

// parse reads a JSON body into v.
func parse(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var other *json.UnmarshalTypeError
	switch {
	case errors.As(err, &other) && other.Field != "":
		return fmt.Errorf("parsing the notification: %s holds another type: %s", other.Field, other.Value)
	case errors.As(err, &other):
		return fmt.Errorf("parsing the notification: it is another type than an object: %s", other.Value)
	case err != nil:
		return fmt.Errorf("parsing the notification: %w", err)
	}
	return nil
}

// at fills in where an event happened: the receiver's host comes before the
// sender's. Names that cannot be are no reason to refuse a notification: senders
// would send it again for ever, and nothing after it. A path that cannot be is
// placed where it begins, so that below a destination it is rejected.
func (e *Event) at(n Notification, host, path string) error {
	if n.Host != "" {
		host = n.Host
	}
	if host == "" {
		return errNoHost
	}
	repo, err := image.ParseRepository(host + "/" + path)
	if err != nil {
		e.Fault = err.Error()
	}
	for i := len(path); err != nil && i > 0; {
		if i = strings.LastIndexByte(path[:i], '/'); 0 < i && i < maxText {
			repo, err = image.ParseRepository(host + "/" + path[:i])
		}
	}
	e.Repository = repo
	return nil
}

// names fills in the tag and the digest; either may be empty.
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

// reference fills in a tag or a digest, whichever it is.
func (e *Event) reference(ref, digest string) {
	if strings.Contains(ref, ":") {
		ref, digest = "", ref
	}
	e.names(ref, digest)
}

// splitRef splits "host/path[:tag][@digest]".
func splitRef(ref string) (repo, tag, digest string) {
	ref, digest, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref, tag = ref[:i], ref[i+1:]
	}
	return ref, tag, digest
}

// Clip bounds a text that is kept but means nothing here.
func Clip(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// bodyID returns an id for notifications that have none but hold their time, so that equal bytes are one event.
func bodyID(body []byte, index int) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf("%x-%d", sum[:16], index)
}

// tooMany returns an error if a notification holds more events than are read.
func tooMany(n int) error {
	if n > maxEvents {
		return fmt.Errorf("the notification holds %d events: more than %d are refused", n, maxEvents)
	}
	return nil
}
