package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// pubsubSource is the name of Google registries' changes, which Pub/Sub pushes to "/".
const pubsubSource = "pubsub"

// pubsubPush is the body of a Pub/Sub push. Older senders write id, newer ones messageId.
type pubsubPush struct {
	Message *struct {
		Data      []byte `json:"data"`
		MessageID string `json:"messageId"`
		ID        string `json:"id"`
	} `json:"message"`
}

// decodePubSub reads a change of a Google registry: digest and tag are whole
// references. A change without an action or with an unknown one is malformed,
// since the topic carries nothing but insertions and deletions.
func decodePubSub(n notification) (Event, error) {
	var push pubsubPush
	if err := parse(n.Body, &push); err != nil {
		return Event{}, err
	}
	if push.Message == nil {
		return Event{}, errors.New("parsing the notification: it holds no message")
	}
	var change struct{ Action, Digest, Tag string }
	if err := json.Unmarshal(push.Message.Data, &change); err != nil {
		return Event{}, fmt.Errorf("parsing the message's data: %w", err)
	}
	e := Event{ID: clip(push.Message.MessageID), Source: pubsubSource}
	if e.ID == "" {
		e.ID = clip(push.Message.ID)
	}
	switch strings.ToUpper(change.Action) {
	case "INSERT":
		e.Action = Push
	case "DELETE":
		e.Action = Delete
	default:
		return e, fmt.Errorf("bad action %q: want INSERT or DELETE", clip(change.Action))
	}
	return e, e.whole(change.Digest, change.Tag)
}

// whole fills in where and what from whole references to a digest and to a tag of one repository.
func (e *Event) whole(digest, tag string) error {
	if digest == "" && tag == "" {
		return errors.New("the change names neither digest nor tag")
	}
	byDigest, _, d := splitRef(digest)
	byTag, t, _ := splitRef(tag)
	if digest != "" && d == "" {
		return fmt.Errorf("bad digest reference %q: want host/path@sha256:…", clip(digest))
	}
	if tag != "" && t == "" {
		return fmt.Errorf("bad tag reference %q: want host/path:tag", clip(tag))
	}
	name := byDigest
	if name == "" {
		name = byTag
	}
	repo, err := image.ParseRepository(name)
	if err != nil {
		return err
	}
	if byTag != "" && byTag != name {
		return fmt.Errorf("digest and tag are of two repositories: %q and %q", clip(name), clip(byTag))
	}
	e.Repository = repo
	if e.names(t, d); e.Fault != "" {
		return errors.New(e.Fault)
	}
	return nil
}
