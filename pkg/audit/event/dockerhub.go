package event

import (
	"errors"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// decodeDockerHub reads the webhooks of Docker Hub.
//
// Each is about the push of a tag and has no digest. Webhooks have no id, and two
// pushes in one second look the same, so each webhook is a new event. The callback
// URL is never called.
func decodeDockerHub(n Notification) ([]Event, error) {
	var hook struct {
		PushData struct {
			Tag    string `json:"tag"`
			Pusher string `json:"pusher"`
		} `json:"push_data"`
		Repository struct {
			Name string `json:"repo_name"`
		} `json:"repository"`
	}
	if err := parse(n.Body, &hook); err != nil {
		return nil, err
	}
	if hook.Repository.Name == "" {
		return nil, errors.New("parsing the notification: it names no repository")
	}
	e := Event{Action: Push, Actor: Clip(hook.PushData.Pusher)}
	err := e.refer(n, reference{host: image.DockerHub, path: hook.Repository.Name, tag: hook.PushData.Tag})
	return []Event{e}, err
}
