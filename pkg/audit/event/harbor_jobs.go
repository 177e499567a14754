package event

import (
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// harborArtifact is one artifact that a Harbor job has changed.
//
// Its name is "name:tag" or "name@digest", below the namespace or the project of the
// job. For several artifacts or tags, Harbor names the first, or only their number.
type harborArtifact struct {
	Name string `json:"name_tag"`
}

// harborReplication describes a replication from or to this Harbor.
//
// The other side is a registry, which has a name. This Harbor has none.
type harborReplication struct {
	Hostname string          `json:"harbor_hostname"` // of this Harbor, without a port
	Status   string          `json:"job_status"`
	Source   *harborEndpoint `json:"src_resource"`
	Target   *harborEndpoint `json:"dest_resource"`

	Done   []harborArtifact `json:"successful_artifact"`
	Failed []harborArtifact `json:"failed_artifact"`
}

// harborEndpoint is one side of a replication.
type harborEndpoint struct {
	Name      string `json:"registry_name"`
	Type      string `json:"registry_type"`
	URL       string `json:"endpoint"`
	Namespace string `json:"namespace"`
}

// host returns the host of the endpoint's registry.
func (p *harborEndpoint) host() string {
	if p.Type == "docker-hub" {
		return image.DockerHub
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		host, _, _ := strings.Cut(p.URL, "/")
		return host
	}
	return u.Host
}

// events returns an event for each artifact that was replicated.
func (r *harborReplication) events(n Notification, template Event) ([]Event, error) {
	if r == nil || r.Target == nil {
		return nil, nil
	}
	if len(r.Done) == 0 && (len(r.Failed) > 0 || harborRunning(r.Status)) {
		return []Event{other(failedAction, failedAction)}, nil
	}
	host := r.Target.host()
	switch {
	case r.Target.Name != "" && (r.Source == nil || r.Source.Name == ""):
		n.Host = "" // it is the host of this Harbor, and the artifacts are in another registry
	case host == "":
		host = r.Hostname
	}
	return template.each(n, harborReferences(host, r.Target.Namespace, r.Done))
}

// harborRunning reports whether a job is unfinished or was stopped.
func harborRunning(status string) bool {
	return slices.Contains([]string{"Pending", "Running", "Scheduled", "Stopped", "Error"}, status)
}

// harborRetention describes the tags that a retention policy has deleted.
type harborRetention struct {
	Hostname string           `json:"harbor_hostname"`
	Project  string           `json:"project_name"`
	Deleted  []harborArtifact `json:"deleted_artifact"`
}

// events returns an event for each artifact that was deleted.
func (r *harborRetention) events(n Notification, template Event) ([]Event, error) {
	if r == nil {
		return nil, nil
	}
	return template.each(n, harborReferences(r.Hostname, r.Project, r.Deleted))
}

// harborReferences returns the references of artifacts below a project.
func harborReferences(host, project string, artifacts []harborArtifact) []reference {
	refs := make([]reference, len(artifacts))
	for i, a := range artifacts {
		name, _, _ := strings.Cut(a.Name, " ") // "NAME [3 item(s) in total]"
		path, tag, digest := splitRef(name)
		if project != "" && !strings.HasPrefix(path, project+"/") {
			path = strings.TrimSuffix(project+"/"+path, "/")
		}
		refs[i] = reference{host, path, tag, digest}
	}
	return refs
}
