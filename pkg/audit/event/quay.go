package event

import "strings"

// decodeQuay reads the webhooks of Quay.
//
// A push has tags but no digests, ids or times, so each webhook is a new event. The
// webhooks do not have a type, but only those of a push have updated tags.
func decodeQuay(n Notification) ([]Event, error) {
	var hook struct {
		Repository string   `json:"repository"` // namespace/name
		DockerURL  string   `json:"docker_url"`
		Tags       []string `json:"updated_tags"`
	}
	if err := parse(n.Body, &hook); err != nil {
		return nil, err
	}
	if err := tooMany(len(hook.Tags)); err != nil {
		return nil, err
	}
	host, path, _ := strings.Cut(hook.DockerURL, "/")
	if path == "" {
		path = hook.Repository
	}
	if len(hook.Tags) == 0 {
		e := other("webhook without updated_tags")
		err := e.refer(n, reference{host: host, path: path})
		return []Event{e}, err
	}
	events := make([]Event, len(hook.Tags))
	for i, tag := range hook.Tags {
		events[i] = Event{Action: Push}
		if err := events[i].refer(n, referenceTo(host, path, tag, "")); err != nil {
			return nil, err
		}
	}
	return events, nil
}
