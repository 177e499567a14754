package event

import (
	"fmt"
	"strings"
)

// ecrEvent is an EventBridge event about an Amazon registry.
type ecrEvent struct {
	ID         string `json:"id"`
	DetailType string `json:"detail-type"`
	Account    string `json:"account"`
	Region     string `json:"region"`
	Detail     struct {
		Result     string `json:"result"`
		SyncStatus string `json:"sync-status"` // of a pull through cache, which has no result
		Repository string `json:"repository-name"`
		Digest     string `json:"image-digest"`
		Action     string `json:"action-type"`
		Tag        string `json:"image-tag"`
	} `json:"detail"`
}

// ecrCached is the type of events about pull through caches.
const ecrCached = "ECR Pull Through Cache Action"

// action returns the action, and the name that the system has for it.
//
// A replication is reported by the region of its destination.
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

// host returns the host of the registry, or "" if the event does not name it.
//
// China and the European Sovereign Cloud have domains of their own.
func (e *ecrEvent) host() string {
	if e.Account == "" || e.Region == "" {
		return ""
	}
	domain := "com"
	switch {
	case strings.HasPrefix(e.Region, "cn-"):
		domain = "com.cn"
	case strings.HasPrefix(e.Region, "eusc-"):
		domain = "eu"
	}
	return fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.%s", e.Account, e.Region, domain)
}

// failedAction is the kind of events about actions that failed.
const failedAction = "failed action"

// decodeECR reads EventBridge events about Amazon registries.
func decodeECR(n Notification) ([]Event, error) {
	var event ecrEvent
	if err := parse(n.Body, &event); err != nil {
		return nil, err
	}
	host := event.host()
	action, kind := event.action()
	e := Event{ID: Clip(event.ID), Action: action}
	if action == Other {
		e = other(kind, failedAction, "ECR Image Scan", "ECR Scan Resource Change")
	}
	err := e.refer(n, reference{host, event.Detail.Repository, event.Detail.Tag, event.Detail.Digest})
	return []Event{e}, err
}
