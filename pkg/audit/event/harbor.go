package event

import (
	"errors"
	"strings"
)

// harborData describes a change in Harbor.
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

// harborHook is a webhook of Harbor.
//
// Harbor's own format has event_data, and CloudEvents have data.
type harborHook struct {
	ID        string      `json:"id"`
	Type      string      `json:"type"`
	Operator  string      `json:"operator"`
	EventData *harborData `json:"event_data"`
	Data      *harborData `json:"data"`
}

// decodeHarbor reads the webhooks of Harbor.
//
// They have Harbor's own format or are CloudEvents.
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
	template := Event{ID: Clip(hook.ID), Source: "harbor", Actor: Clip(hook.Operator)}
	var events []Event
	var err error
	switch hook.Type {
	case "PUSH_ARTIFACT", "harbor.artifact.pushed":
		template.Action = Push
		events, err = data.resources(n, template)
	case "DELETE_ARTIFACT", "harbor.artifact.deleted":
		template.Action = Delete
		events, err = data.resources(n, template)
	case "REPLICATION", "harbor.replication.status.changed":
		template.Action = Push
		events, err = data.Replication.events(n, template)
	case "TAG_RETENTION", "harbor.tag_retention.finished":
		template.Action = Delete
		events, err = data.Retention.events(n, template)
	case "":
		return nil, errors.New("parsing the notification: it has no type")
	default:
		e := other("harbor", hook.Type, harborOther()...)
		if len(data.Resources) > 0 {
			host, path, tag, digest := data.reference(0)
			e = e.about(n, host, path, tag, digest)
		}
		return []Event{e}, nil
	}
	if err == nil && len(events) == 0 {
		return []Event{other("harbor", hook.Type+" that names no artifact")}, nil
	}
	return events, err
}

// harborOther returns the types of webhooks that change nothing.
func harborOther() []string {
	return []string{
		"PULL_ARTIFACT", "QUOTA_EXCEED", "QUOTA_WARNING", "SCANNING_COMPLETED", "SCANNING_FAILED", "SCANNING_STOPPED",
		"harbor.artifact.pulled", "harbor.quota.exceeded", "harbor.quota.warned", "harbor.scan.completed", "harbor.scan.failed", "harbor.scan.stopped",
	}
}

// resources returns an event for each resource.
//
// template has the fields that all of them share.
func (d *harborData) resources(n Notification, template Event) ([]Event, error) {
	if err := tooMany(len(d.Resources)); err != nil {
		return nil, err
	}
	var events []Event
	for i := range d.Resources {
		e := template
		if e.ID == "" {
			e.ID = bodyID(n.Body, i)
		}
		host, path, tag, digest := d.reference(i)
		if err := e.at(n, host, path); err != nil {
			return nil, err
		}
		e.names(tag, digest)
		events = append(events, e)
	}
	return events, nil
}

// reference returns the reference of one resource.
//
// An untagged artifact has its digest as tag.
func (d *harborData) reference(i int) (host, path, tag, digest string) {
	r := d.Resources[i]
	name, _, _ := splitRef(r.URL)
	host, path, _ = strings.Cut(name, "/")
	if d.Repository.FullName != "" {
		path = d.Repository.FullName
	}
	if tag = r.Tag; strings.Contains(tag, ":") {
		tag = ""
	}
	return host, path, tag, r.Digest
}
