package event

// decodeACR reads the webhooks of Azure container registries.
//
// A chart is an artifact in a repository, as an image is.
func decodeACR(n Notification) ([]Event, error) {
	var hook struct {
		ID     string `json:"id"`
		Action string `json:"action"`
		Target struct {
			Repository string `json:"repository"`
			Digest     string `json:"digest"`
			Tag        string `json:"tag"`
		} `json:"target"`
		Request struct {
			Host string `json:"host"`
		} `json:"request"`
	}
	if err := parse(n.Body, &hook); err != nil {
		return nil, err
	}
	e := Event{ID: Clip(hook.ID)}
	switch hook.Action {
	case "push", "chart_push":
		e.Action = Push
	case "delete", "chart_delete":
		e.Action = Delete
	default: // ping tests the webhook, and quarantine comes before the push of an image to scan
		e = other(hook.Action, "ping", "quarantine")
	}
	err := e.refer(n, reference{hook.Request.Host, hook.Target.Repository, hook.Target.Tag, hook.Target.Digest})
	return []Event{e}, err
}
