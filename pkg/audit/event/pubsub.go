package event

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// PubSub is the Source of events that Pub/Sub pushes for Google registries.
const PubSub = "pubsub"

// pubsubChange is a message of a Google registry's topic.
type pubsubChange struct{ Action, Digest, Tag string }

// pubsubPush is the body of a Pub/Sub push.
//
// It is a message with the change, or the change itself if the subscription unwraps
// it. The id is in the field id of older senders and messageId of newer ones. With an
// unwrapped change, it is in a header or missing.
type pubsubPush struct {
	Message *struct {
		Data      []byte `json:"data"`
		MessageID string `json:"messageId"`
		ID        string `json:"id"`
	} `json:"message"`
	pubsubChange
}

// read returns the change and the id of the message.
func (p *pubsubPush) read(header http.Header) (change pubsubChange, id string, err error) {
	switch {
	case p.Message != nil:
		if err := strictjson.Unmarshal(p.Message.Data, &change); err != nil {
			return change, "", fmt.Errorf("parsing the message's data: %w", err)
		}
		return change, Clip(cmp.Or(p.Message.MessageID, p.Message.ID)), nil
	case p.pubsubChange != (pubsubChange{}):
		return p.pubsubChange, Clip(header.Get("X-Goog-Pubsub-Message-Id")), nil
	}
	return change, "", errors.New("parsing the notification: it has neither a message nor a change")
}

// DecodePubSub parses a Pub/Sub push about a Google registry.
//
// The digest and the tag in it are full references. It is an error if the action is
// missing or unknown, since the topic has only insertions and deletions.
func DecodePubSub(n Notification) (Event, error) {
	var push pubsubPush
	if err := parse(n.Body, &push); err != nil {
		return Event{}, err
	}
	change, id, err := push.read(n.Header)
	if err != nil {
		return Event{}, err
	}
	e := Event{ID: id, Source: PubSub}
	switch strings.ToUpper(change.Action) {
	case "INSERT":
		e.Action = Push
	case "DELETE":
		e.Action = Delete
	default:
		return e, fmt.Errorf("bad action %q: want INSERT or DELETE", Clip(change.Action))
	}
	return e, e.whole(change.Digest, change.Tag)
}

// whole sets the repository, the tag and the digest from full references.
//
// Both references must be of one repository. One of them may be empty.
func (e *Event) whole(digest, tag string) error {
	if digest == "" && tag == "" {
		return errors.New("the change names neither digest nor tag")
	}
	byDigest, _, d := splitRef(digest)
	byTag, t, _ := splitRef(tag)
	if digest != "" && d == "" {
		return fmt.Errorf("bad digest reference %q: want host/path@sha256:…", Clip(digest))
	}
	if tag != "" && t == "" {
		return fmt.Errorf("bad tag reference %q: want host/path:tag", Clip(tag))
	}
	name := cmp.Or(byDigest, byTag)
	repo, err := image.ParseRepository(name)
	if err != nil {
		return err
	}
	if other, err := image.ParseRepository(byTag); byTag != "" && (err != nil || other != repo) {
		return fmt.Errorf("digest and tag are of two repositories: %q and %q", Clip(name), Clip(byTag))
	}
	e.Repository = repo
	if e.names(t, d); e.Fault != "" {
		return errors.New(e.Fault)
	}
	return nil
}
