package event

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
	Replication *harborReplication `json:"replication"`
	Retention   *harborRetention   `json:"retention"`
}

// harborHook is a webhook of Harbor: event_data in its own form, data in CloudEvents.
type harborHook struct {
	ID        string      `json:"id"`
	Type      string      `json:"type"`
	Operator  string      `json:"operator"`
	EventData *harborData `json:"event_data"`
	Data      *harborData `json:"data"`
}

// decodeHarbor reads Harbor's webhooks, in Harbor's own form and as CloudEvents.
func decodeHarbor(n Notification) ([]Event, error) {
	var hook harborHook
	if err := parse(n.Body, &hook); err != nil {
		return nil, err
	}
	data := &harborData{}
	switch kind := n.Header.Get("Ce-Type"); {
	case kind != "":
		hook.ID, hook.Type = n.Header.Get("Ce-Id"), kind
		if err := parse(n.Body, data); err != nil {
			return nil, err
		}
	case hook.EventData != nil:
		data = hook.EventData
	case hook.Data != nil:
		data = hook.Data
	}
	like := Event{ID: Clip(hook.ID), Source: "harbor", Actor: Clip(hook.Operator)}
	var events []Event
	var err error
	switch hook.Type {
	case "PUSH_ARTIFACT", "harbor.artifact.pushed":
		like.Action = Push
		events, err = data.resources(n, like)
	case "DELETE_ARTIFACT", "harbor.artifact.deleted":
		like.Action = Delete
		events, err = data.resources(n, like)
	case "REPLICATION", "harbor.replication.status.changed":
		like.Action = Push
		events, err = data.Replication.events(n, like)
	case "TAG_RETENTION", "harbor.tag_retention.finished":
		like.Action = Delete
		events, err = data.Retention.events(n, like)
	case "":
		return nil, errors.New("parsing the notification: it has no type")
	default:
		return []Event{other("harbor", hook.Type, harborOther()...)}, nil
	}
	if err == nil && len(events) == 0 {
		return []Event{other("harbor", hook.Type+" that names no artifact")}, nil
	}
	return events, err
}

// harborOther returns the types of webhooks that are neither pushes nor deletions.
func harborOther() []string {
	return []string{
		"PULL_ARTIFACT", "QUOTA_EXCEED", "QUOTA_WARNING", "SCANNING_COMPLETED", "SCANNING_FAILED", "SCANNING_STOPPED",
		"harbor.artifact.pulled", "harbor.quota.exceeded", "harbor.quota.warned", "harbor.scan.completed", "harbor.scan.failed", "harbor.scan.stopped",
	}
}

// resources returns an event like e for each resource.
func (d *harborData) resources(n Notification, like Event) ([]Event, error) {
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
