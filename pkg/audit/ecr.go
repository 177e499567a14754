package audit

import "fmt"

// decodeECR reads EventBridge's events of Amazon's registries.
func decodeECR(n notification) ([]Event, error) {
	var event struct {
		ID         string `json:"id"`
		DetailType string `json:"detail-type"`
		Account    string `json:"account"`
		Region     string `json:"region"`
		Detail     struct {
			Result     string `json:"result"`
			Repository string `json:"repository-name"`
			Digest     string `json:"image-digest"`
			Action     string `json:"action-type"`
			Tag        string `json:"image-tag"`
		} `json:"detail"`
	}
	if err := parse(n.Body, &event); err != nil {
		return nil, err
	}
	e := Event{ID: clip(event.ID), Source: "ecr", Action: Other}
	host := ""
	if event.Account != "" && event.Region != "" {
		host = fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com", event.Account, event.Region)
	}
	if err := e.at(n, host, event.Detail.Repository); err != nil {
		return nil, err
	}
	if event.DetailType == "ECR Image Action" && event.Detail.Result == "SUCCESS" {
		switch event.Detail.Action {
		case "PUSH":
			e.Action = Push
		case "DELETE":
			e.Action = Delete
		}
	}
	e.names(event.Detail.Tag, event.Detail.Digest)
	return []Event{e}, nil
}
