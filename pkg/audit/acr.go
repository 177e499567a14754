package audit

// decodeACR reads the webhooks of Azure's registries.
func decodeACR(n notification) ([]Event, error) {
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
	e := Event{ID: clip(hook.ID), Source: "acr", Action: Other}
	switch hook.Action {
	case "push":
		e.Action = Push
	case "delete":
		e.Action = Delete
	case "ping": // sent to try the webhook out
		return nil, nil
	}
	if err := e.at(n, hook.Request.Host, hook.Target.Repository); err != nil {
		return nil, err
	}
	e.names(hook.Target.Tag, hook.Target.Digest)
	return []Event{e}, nil
}
