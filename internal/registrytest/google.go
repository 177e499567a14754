package registrytest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// googleEpoch is when the first manifest of a registry claims to have been uploaded, in Unix milliseconds.
const googleEpoch = 1_600_000_000_000

// GoogleList is Google's answer to a tag list; its numbers are JSON strings.
type GoogleList struct {
	Child    []string                  `json:"child"`
	Manifest map[string]GoogleManifest `json:"manifest"`
	Name     string                    `json:"name"`
	Tags     []string                  `json:"tags"`
}

// GoogleManifest is an entry of a GoogleList.
type GoogleManifest struct {
	ImageSizeBytes string   `json:"imageSizeBytes"`
	LayerID        string   `json:"layerId"`
	MediaType      string   `json:"mediaType"`
	Tag            []string `json:"tag"`
	TimeCreatedMs  string   `json:"timeCreatedMs"`
	TimeUploadedMs string   `json:"timeUploadedMs"`
}

func googleView(st *store) Fault {
	return only(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, repo, _ := classify(r)
		list, ok := st.googleList(repo)
		if !ok {
			writeError(w, http.StatusNotFound, "NAME_UNKNOWN", "Failed to compute blob liveness for manifest: '"+repo+"'")
			return
		}
		if token := list.page(r.URL.Query().Get("n"), r.URL.Query().Get("next_page_token")); token != "" {
			setLink(w, r, "next_page_token", token)
		}
		writeJSON(w, list)
	}, Is(Tags))
}

// googleList describes repo as Google would; a name that only leads to repositories below it is listed too.
func (st *store) googleList(repo string) (list *GoogleList, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	list = &GoogleList{Name: repo, Child: st.children(repo), Manifest: map[string]GoogleManifest{}, Tags: []string{}}
	rp := st.repos[repo]
	if rp == nil {
		return list, len(list.Child) > 0
	}
	for digest, m := range rp.manifests {
		at := strconv.FormatInt(googleEpoch+1000*m.order, 10)
		g := GoogleManifest{ImageSizeBytes: imageSize(m.raw), MediaType: m.mediaType, Tag: []string{}, TimeCreatedMs: at, TimeUploadedMs: at}
		for _, tag := range slices.Sorted(maps.Keys(rp.tags)) {
			if rp.tags[tag] == digest {
				g.Tag = append(g.Tag, tag)
			}
		}
		list.Manifest[digest] = g
	}
	list.Tags = append(list.Tags, slices.Sorted(maps.Keys(rp.tags))...)
	return list, true
}

// children returns the path elements that follow repo in longer names.
func (st *store) children(repo string) []string {
	prefix := repo + "/"
	if repo == "" {
		prefix = ""
	}
	found := map[string]struct{}{}
	for name := range st.repos {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			child, _, _ := strings.Cut(rest, "/")
			found[child] = struct{}{}
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(found))...)
}

// page cuts the list to n manifests from the one that token stands for, and returns the next page's token.
// Children are on the first page alone.
func (l *GoogleList) page(size, token string) (next string) {
	n, err := strconv.Atoi(size)
	if err != nil || n <= 0 {
		return ""
	}
	from, err := strconv.Atoi(strings.TrimPrefix(token, "page-"))
	if err != nil {
		from = 0
	}
	if from > 0 {
		l.Child = []string{}
	}
	digests := slices.Sorted(maps.Keys(l.Manifest))
	from = min(from, len(digests))
	to := min(from+n, len(digests))
	for _, digest := range slices.Concat(digests[:from], digests[to:]) {
		tags := l.Manifest[digest].Tag
		l.Tags = slices.DeleteFunc(l.Tags, func(tag string) bool { return slices.Contains(tags, tag) })
		delete(l.Manifest, digest)
	}
	if to < len(digests) {
		return "page-" + strconv.Itoa(to)
	}
	return ""
}

// imageSize is the sum of an image's config and layers; an index has none of its own.
func imageSize(raw []byte) string {
	var m document
	if err := json.Unmarshal(raw, &m); err != nil {
		return "0"
	}
	var sum int64
	if m.Config != nil {
		sum += m.Config.Size
	}
	for _, l := range m.Layers {
		sum += l.Size
	}
	return strconv.FormatInt(sum, 10)
}
