package event

import (
	"fmt"
	"strings"
)

// ecrEvent is an event of EventBridge about one of Amazon's registries.
type ecrEvent struct {
	ID         string `json:"id"`
	DetailType string `json:"detail-type"`
	Account    string `json:"account"`
	Region     string `json:"region"`
	Detail     struct {
		Result     string `json:"result"`
		SyncStatus string `json:"sync-status"` // in place of a result: of a pull through cache
		Repository string `json:"repository-name"`
		Digest     string `json:"image-digest"`
		Action     string `json:"action-type"`
		Tag        string `json:"image-tag"`
	} `json:"detail"`
}

// ecrCached is the type of events about images that a pull through cache has stored.
const ecrCached = "ECR Pull Through Cache Action"

// action returns what was done, and what the system calls it. A replication is
// reported by the region that it arrives in.
func (e *ecrEvent) action() (a Action, kind string) {
	kind = e.DetailType
	if e.Detail.Action != "" {
		kind += ": " + e.Detail.Action
	}
	action := e.Detail.Action
	switch ours := strings.HasPrefix(e.DetailType, "ECR "); {
	case ours && (action == "PUSH" || action == "REPLICATE"), e.DetailType == ecrCached:
		a = Push
	case ours && action == "DELETE":
		a = Delete
	default:
		return Other, kind
	}
	if e.Detail.Result != "SUCCESS" && e.Detail.SyncStatus != "SUCCESS" {
		return Other, failedAction
	}
	return a, kind
}

// failedAction is the kind of events about what a registry or a replication did not do.
const failedAction = "failed action"

// decodeECR reads EventBridge's events of Amazon's registries.
func decodeECR(n Notification) ([]Event, error) {
	var event ecrEvent
	if err := parse(n.Body, &event); err != nil {
		return nil, err
	}
	action, kind := event.action()
	if action == Other {
		return []Event{other("ecr", kind, failedAction, "ECR Image Scan", "ECR Scan Resource Change")}, nil
	}
	e := Event{ID: Clip(event.ID), Source: "ecr", Action: action}
	host := ""
	if event.Account != "" && event.Region != "" {
		host = fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com", event.Account, event.Region)
	}
	if err := e.at(n, host, event.Detail.Repository); err != nil {
		return nil, err
	}
	e.names(event.Detail.Tag, event.Detail.Digest)
	return []Event{e}, nil
}
