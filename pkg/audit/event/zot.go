package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// decodeZot reads the CloudEvents of zot, structured and binary.
//
// They do not name their registry, so the URL of the receiver must. The first part of
// their types is configurable.
func decodeZot(n Notification) ([]Event, error) {
	var event struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := parse(n.Body, &event); err != nil {
		return nil, err
	}
	if kind := n.Header.Get("Ce-Type"); kind != "" {
		event.ID, event.Type, event.Data = n.Header.Get("Ce-Id"), kind, n.Body
	}
	if event.Type == "" {
		return nil, errors.New("parsing the notification: it has no type")
	}
	var data struct {
		Name      string `json:"name"`
		Reference string `json:"reference"`
		Digest    string `json:"digest"`
		Actor     struct {
			Name string `json:"name"`
		} `json:"actor"`
	}
	err := strictjson.Unmarshal(event.Data, &data)
	e := Event{ID: Clip(event.ID), Actor: Clip(data.Actor.Name)}
	switch {
	case strings.HasSuffix(event.Type, ".image.updated"):
		e.Action = Push
	case strings.HasSuffix(event.Type, ".image.deleted"):
		e.Action = Delete
	default:
		e = other(event.Type)
		e.Unknown = !zotOther(event.Type)
		err := e.refer(n, reference{path: data.Name, digest: data.Digest})
		return []Event{e}, err
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the event's data: %w", err)
	}
	err = e.refer(n, referenceTo("", data.Name, data.Reference, data.Digest))
	return []Event{e}, err
}

// zotOther reports whether a type is that of events that change nothing.
func zotOther(kind string) bool {
	return strings.HasSuffix(kind, ".image.lint_failed") || strings.HasSuffix(kind, ".image.scanned") || strings.HasSuffix(kind, ".repository.created")
}
