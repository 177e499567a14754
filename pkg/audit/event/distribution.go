package event

import (
	"cmp"
	"net/url"
	"path"
)

// blobPush is the kind of events about pushed blobs.
const blobPush = "blob push"

// decodeDistribution reads the notifications of CNCF distribution.
//
// Only pushes of image manifests are events: blobs are pushed and mounted before
// them, and name no image. A deletion has no media type, and the deletion of a whole
// repository has neither a tag nor a digest.
func decodeDistribution(n Notification) ([]Event, error) {
	var envelope struct {
		Events []struct {
			ID     string `json:"id"`
			Action string `json:"action"`
			Target struct {
				MediaType  string `json:"mediaType"`
				Digest     string `json:"digest"`
				Repository string `json:"repository"`
				URL        string `json:"url"`
				Tag        string `json:"tag"`
			} `json:"target"`
			Request struct {
				Host string `json:"host"`
			} `json:"request"`
			Actor struct {
				Name string `json:"name"`
			} `json:"actor"`
		} `json:"events"`
	}
	if err := parse(n.Body, &envelope); err != nil {
		return nil, err
	}
	if err := tooMany(len(envelope.Events)); err != nil {
		return nil, err
	}
	if len(envelope.Events) == 0 {
		return []Event{other("envelope without events")}, nil
	}
	var events []Event
	for i := range envelope.Events {
		in := &envelope.Events[i]
		u, err := url.Parse(in.Target.URL)
		if err != nil {
			u = &url.URL{}
		}
		blob := path.Base(path.Dir(u.Path)) == "blobs" || u.Path == "" && in.Target.MediaType == "application/octet-stream"
		e := Event{ID: Clip(in.ID), Actor: Clip(in.Actor.Name)}
		switch {
		case in.Action == "push" && blob && in.Target.Tag == "": // blobs have no tags
			e = other(blobPush, blobPush)
		case in.Action == "push":
			e.Action = Push
		case in.Action == "delete":
			e.Action = Delete
		default:
			e = other(in.Action, "pull", "mount")
		}
		host := cmp.Or(in.Request.Host, u.Host)
		if err := e.refer(n, reference{host, in.Target.Repository, in.Target.Tag, in.Target.Digest}); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}
