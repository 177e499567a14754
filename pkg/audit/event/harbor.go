package event

import (
	"cmp"
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
	template := Event{ID: Clip(hook.ID), Actor: Clip(hook.Operator)}
	var events []Event
	var err error
	switch hook.Type {
	case "PUSH_ARTIFACT", "harbor.artifact.pushed":
		template.Action = Push
		events, err = template.each(n, data.references())
	case "DELETE_ARTIFACT", "harbor.artifact.deleted":
		template.Action = Delete
		events, err = template.each(n, data.references())
	case "REPLICATION", "harbor.replication.status.changed":
		template.Action = Push
		events, err = data.Replication.events(n, template)
	case "TAG_RETENTION", "harbor.tag_retention.finished":
		template.Action = Delete
		events, err = data.Retention.events(n, template)
	case "":
		return nil, errors.New("parsing the notification: it has no type")
	default:
		e := other(hook.Type, harborOther()...)
		if refs := data.references(); len(refs) > 0 {
			err = e.refer(n, refs[0])
		}
		return []Event{e}, err
	}
	if err == nil && len(events) == 0 {
		return []Event{other(hook.Type + " that names no artifact")}, nil
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

// references returns the references of the resources.
//
// An untagged artifact has its digest as tag.
func (d *harborData) references() []reference {
	refs := make([]reference, len(d.Resources))
	for i, r := range d.Resources {
		name, _, _ := splitRef(r.URL)
		host, path, _ := strings.Cut(name, "/")
		refs[i] = reference{host, cmp.Or(d.Repository.FullName, path), r.Tag, r.Digest}
		if strings.Contains(r.Tag, ":") {
			refs[i].tag = ""
		}
	}
	return refs
}

// each returns an event for each reference.
//
// e has the fields that all of them share.
func (e Event) each(n Notification, refs []reference) ([]Event, error) {
	if err := tooMany(len(refs)); err != nil {
		return nil, err
	}
	events := make([]Event, len(refs))
	for i, r := range refs {
		events[i] = e
		if e.ID == "" {
			events[i].ID = bodyID(n.Body, i)
		}
		if err := events[i].refer(n, r); err != nil {
			return nil, err
		}
	}
	return events, nil
}
