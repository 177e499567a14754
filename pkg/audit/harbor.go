package audit

import (
	"errors"
	"strings"
)

// harborData is what Harbor says of a change.
type harborData struct {
	Resources []struct {
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
		URL    string `json:"resource_url"`
	} `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

// harborHook is a webhook of Harbor: event_data in its own form, data in CloudEvents.
type harborHook struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Operator  string     `json:"operator"`
	EventData harborData `json:"event_data"`
	Data      harborData `json:"data"`
}

// decodeHarbor reads Harbor's webhooks, in Harbor's own form and as CloudEvents.
func decodeHarbor(n notification) ([]Event, error) {
	var hook harborHook
	if err := parse(n.Body, &hook); err != nil {
		return nil, err
	}
	if kind := n.Header.Get("Ce-Type"); kind != "" {
		hook.ID, hook.Type = n.Header.Get("Ce-Id"), kind
		if err := parse(n.Body, &hook.Data); err != nil {
			return nil, err
		}
	}
	action := Other
	switch hook.Type {
	case "PUSH_ARTIFACT", "harbor.artifact.pushed":
		action = Push
	case "DELETE_ARTIFACT", "harbor.artifact.deleted":
		action = Delete
	case "":
		return nil, errors.New("parsing the notification: it has no type")
	}
	data := hook.EventData
	if len(data.Resources) == 0 {
		data = hook.Data
	}
	return data.events(n, Event{ID: clip(hook.ID), Source: "harbor", Action: action, Actor: clip(hook.Operator)})
}

// events returns an event like e for each resource.
func (d *harborData) events(n notification, like Event) ([]Event, error) {
	if err := tooMany(len(d.Resources)); err != nil {
		return nil, err
	}
	var events []Event
	for i, r := range d.Resources {
		e := like
		if e.ID == "" {
			e.ID = bodyID(n.Body, i)
		}
		name, _, _ := splitRef(r.URL)
		host, path, _ := strings.Cut(name, "/")
		if d.Repository.FullName != "" {
			path = d.Repository.FullName
		}
		if e.Action == Other && host == "" && n.Host == "" {
			continue // a quota's, a replication's: they change nothing
		}
		if err := e.at(n, host, path); err != nil {
			return nil, err
		}
		tag := r.Tag
		if strings.Contains(tag, ":") {
			tag = "" // an untagged artifact's is its digest
		}
		e.names(tag, r.Digest)
		events = append(events, e)
	}
	return events, nil
}
