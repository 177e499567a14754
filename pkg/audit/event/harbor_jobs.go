package event

import (
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// harborArtifact is one artifact that a job of Harbor has dealt with. Its name is
// "name:tag" or "name@digest", below the job's namespace or project. Of several
// artifacts or tags, Harbor names the first, or only how many there are.
type harborArtifact struct {
	Name string `json:"name_tag"`
}

// harborReplication is what Harbor says of a replication: from a registry to this
// Harbor, or from this Harbor to a registry. Registries have a name, this Harbor has none.
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

// events returns an event like e for each artifact that was replicated.
func (r *harborReplication) events(n Notification, like Event) ([]Event, error) {
	if r == nil || r.Target == nil {
		return nil, nil
	}
	if len(r.Done) == 0 && (len(r.Failed) > 0 || harborRunning(r.Status)) {
		return []Event{other("harbor", failedAction, failedAction)}, nil
	}
	host := r.Target.host()
	switch {
	case r.Target.Name != "" && (r.Source == nil || r.Source.Name == ""):
		n.Host = "" // it says which registry this Harbor is, and the artifacts are elsewhere
	case host == "":
		host = r.Hostname
	}
	return harborEvents(n, like, host, r.Target.Namespace, r.Done)
}

// harborRunning reports whether a job with a status has done nothing that it says.
func harborRunning(status string) bool {
	return slices.Contains([]string{"Pending", "Running", "Scheduled", "Stopped", "Error"}, status)
}

// harborRetention is what Harbor says of the tags that a retention policy has deleted.
type harborRetention struct {
	Hostname string           `json:"harbor_hostname"`
	Project  string           `json:"project_name"`
	Deleted  []harborArtifact `json:"deleted_artifact"`
}

// events returns an event like e for each artifact that was deleted.
func (r *harborRetention) events(n Notification, like Event) ([]Event, error) {
	if r == nil {
		return nil, nil
	}
	return harborEvents(n, like, r.Hostname, r.Project, r.Deleted)
}

// harborEvents returns an event like e for each artifact below a project.
func harborEvents(n Notification, like Event, host, project string, artifacts []harborArtifact) ([]Event, error) {
	if err := tooMany(len(artifacts)); err != nil {
		return nil, err
	}
	var events []Event
	for i, a := range artifacts {
		e := like
		if e.ID == "" {
			e.ID = bodyID(n.Body, i)
		}
		name, _, _ := strings.Cut(a.Name, " ") // "NAME [3 item(s) in total]"
		path, tag, digest := splitRef(name)
		if project != "" && !strings.HasPrefix(path, project+"/") {
			path = strings.TrimSuffix(project+"/"+path, "/")
		}
		if err := e.at(n, host, path); err != nil {
			return nil, err
		}
		e.names(tag, digest)
		events = append(events, e)
	}
	return events, nil
}
