// Package selector holds selectors, which choose the digests to promote.
//
// A selector is an entry of a sources.yaml, of the key sources of a plain manifest, or
// an ImagePolicy resource of Flux. The lock file next to it records what the last
// "cip resolve" found.
//
// The package reads and writes these files. It never chooses anything: pkg/resolve
// does. It is not part of pkg/manifest because a promotion needs no selectors, only
// the manifests that they were written to.
package selector

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// File holds one file's selectors and their lock entries.
//
// The file is a sources.yaml, a plain manifest, a native StarlingX file, or a stream
// of Flux resources.
type File struct {
	File         string        // file name for messages
	Name         string        // path in its fs.FS
	Lock         string        // path of the lock file in the fs.FS
	Images       string        // path of the file with the images list; empty: results are written to the lock only
	Destinations []Destination // of the manifests that the images list belongs to
	Entries      []*Selector   // in file order
	Locked       []Lock        // in file order
	Suspended    []*Selector   // are not resolved; their lock entries stay
}

// Destination is a registry that results are promoted to.
type Destination struct {
	Name        image.Registry
	MutableTags []string // path.Match patterns of tags that may move
}

// Selector says how the digest of an image is chosen.
type Selector struct {
	Name          string            `json:"name"`
	Select        Select            `json:"select"`
	Filter        *Filter           `json:"filterTags,omitempty"`
	Exclude       []string          `json:"exclude,omitempty"` // regular expressions of tags to ignore
	Labels        map[string]string `json:"labels,omitempty"`  // labels that the image must have
	Ref           string            `json:"ref,omitempty"`     // documentation only
	Tags          []string          `json:"tags,omitempty"`    // templates of the tags to promote; none: the default of the kind of selector
	Update        string            `json:"update,omitempty"`  // updateAppend if empty, or UpdateReplace
	AlwaysRefresh bool              `json:"alwaysRefresh,omitempty"`
	Rebase        *Rebase           `json:"rebase,omitempty"`
	Policy        string            `json:"-"` // namespace/name of the ImagePolicy; empty: not a Flux resource
	Repository    name.Repository   `json:"-"` // repository of the candidates
	Output        name.Repository   `json:"-"` // source of the promotion: Repository, or that of the rebased image
	Pos           yamlread.Pos      `json:"-"`
}

// The values of Selector.Update: whether the previous digest stays in the images list.
const (
	updateAppend  = "append"
	UpdateReplace = "replace"
)

// Select is the rule that chooses one candidate.
//
// Exactly one field is set.
type Select struct {
	Tag          string            `json:"tag,omitempty"`
	Digest       v1.Hash           `json:"digest,omitzero"`
	SemVer       *SemVer           `json:"semver,omitempty"`
	Numerical    *Order            `json:"numerical,omitempty"`
	Alphabetical *Order            `json:"alphabetical,omitempty"`
	Newest       *Newest           `json:"newest,omitempty"`
	GitRevision  *GitRevision      `json:"gitRevision,omitempty"`
	Alias        *Alias            `json:"alias,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
}

// SemVer selects the highest version in a range.
type SemVer struct {
	Range string `json:"range"`
}

// Order selects the last of the candidates in ascending order, or the first.
type Order struct {
	Order string `json:"order"` // orderAscending or OrderDescending
}

// The values of Order.Order. Ascending selects the greatest, as in Flux.
const (
	orderAscending  = "asc"
	OrderDescending = "desc"
)

// Newest selects the image that was created last. It has no options.
type Newest struct{}

// Filter keeps the tags that match a regular expression.
//
// It can also extract the part of a tag that is compared.
type Filter struct {
	Pattern string `json:"pattern"`
	Extract string `json:"extract,omitempty"` // template, for example $1 or ${name}; empty: the whole tag
}

// GitRevision selects the image of the newest commit on a branch that has one.
type GitRevision struct {
	Repository      string    `json:"repository"` // URL, or path relative to the file of the selector
	Branch          string    `json:"branch"`
	Walk            string    `json:"walk,omitempty"` // walkFirstParent if empty, or WalkAll
	Identify        *Identify `json:"identify,omitempty"`
	Paths           []string  `json:"paths,omitempty"`           // paths in the tree that the image is built from
	MaxBehind       *int      `json:"maxBehind,omitempty"`       // maximum number of newer commits without an image; nil: no limit
	MinAbbreviation int       `json:"minAbbreviation,omitempty"` // minimum number of hexadecimal digits of a commit ID; 0: 7
	NoEqualTrees    bool      `json:"noEqualTrees,omitempty"`    // the image of another commit with the same files is not accepted
}

// The values of GitRevision.Walk.
const (
	walkFirstParent = "first-parent"
	WalkAll         = "all"
)

// Identify says how to find the commit of an image: by its tag or a label.
type Identify struct {
	Tag    *IdentifyTag `json:"tag,omitempty"`
	Label  string       `json:"label,omitempty"`  // annotation or label with the revision
	Source string       `json:"source,omitempty"` // required value of org.opencontainers.image.source
}

// IdentifyTag extracts the commit from a tag.
type IdentifyTag struct {
	Pattern string `json:"pattern"`
	Commit  string `json:"commit"`          // template, for example $sha
	Order   string `json:"order,omitempty"` // template of the text that orders builds of one commit
}

// Alias selects the image with the labels of a tag in an image tags file.
type Alias struct {
	Tag       string `json:"tag"`
	ImageTags string `json:"imageTags"` // path relative to the file of the selector
}

// Rebase says how the selected image is rebased onto another run image.
type Rebase struct {
	RunImage     *RunImage `json:"runImage,omitempty"` // nil: chosen from the image's labels
	LocalMirrors []string  `json:"localMirrors,omitempty"`
	Accept       string    `json:"accept,omitempty"` // listed if empty, same-repository or any
	To           string    `json:"to"`               // repository below the source registry
}

// RunImage is a run image and its mirrors.
type RunImage struct {
	Image   string   `json:"image"`
	Mirrors []string `json:"mirrors,omitempty"`
}

// TagFields are the fields that templates of tags can use.
type TagFields struct {
	Name   string
	Tag    string // the selected tag
	Digest string
	Commit string            // commit of a git revision
	Value  string            // text that filterTags extracted
	Labels map[string]string // labels of an alias
}

// ImageName returns the name of the image that results are written to.
//
// It is the name of the rebased image if the selector has a rebase.
func (s *Selector) ImageName() string {
	if s.Rebase != nil {
		return s.Rebase.To
	}
	return s.Name
}

// Intent returns a digest of the selector, independent of its notation in the file.
func (s *Selector) Intent() string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // all field types can be encoded
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Lock records the last resolution of a selector, as an entry of sources.lock.yaml.
type Lock struct {
	Name    string       `yaml:"name"`
	Intent  string       `yaml:"intent"` // Selector.Intent
	Digest  v1.Hash      `yaml:"digest"`
	Tag     string       `yaml:"tag,omitempty"`     // selected source tag
	Tags    []string     `yaml:"tags,flow"`         // promoted tags
	TagList string       `yaml:"tagList,omitempty"` // sha256 of the sorted tags of the candidates, one on a line
	Ref     string       `yaml:"ref,omitempty"`
	Git     *LockGit     `yaml:"git,omitempty"`
	Alias   *LockAlias   `yaml:"alias,omitempty"`
	Newest  *LockNewest  `yaml:"newest,omitempty"`
	Rebase  *LockRebase  `yaml:"rebase,omitempty"`
	Pos     yamlread.Pos `yaml:"-"`
}

// LockGit is the position of a result in the history of a branch.
type LockGit struct {
	Repository string `yaml:"repository"`
	Branch     string `yaml:"branch"`
	Tip        string `yaml:"tip"`    // commit at the branch's head
	Commit     string `yaml:"commit"` // commit of the image
	Behind     int    `yaml:"behind"` // number of commits between them that should have an image
	By         string `yaml:"by"`     // tag, label or tree
}

// LockAlias is the chain of aliases that a result was found with.
type LockAlias struct {
	File       string            `yaml:"file"`
	FileDigest string            `yaml:"fileDigest"`
	Path       []string          `yaml:"path,flow"`
	Labels     map[string]string `yaml:"labels,omitempty,flow"`
}

// LockNewest records creation times of images (RFC 3339).
type LockNewest struct {
	Created string `yaml:"created"`          // of the selected image
	Images  Times  `yaml:"images,omitempty"` // of all candidates, by digest; empty: the image has none
}

// Times are creation times by digest.
type Times map[string]string

// MarshalYAML implements yaml.Marshaler. It sorts digests by bytes; the encoder would
// sort them by the numbers in them, whose digits can overflow.
func (t Times) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, digest := range slices.Sorted(maps.Keys(t)) {
		key, value := &yaml.Node{}, &yaml.Node{}
		key.SetString(digest)
		value.SetString(t[digest])
		value.Style = yaml.DoubleQuotedStyle
		n.Content = append(n.Content, key, value)
	}
	return n, nil
}

// LockRebase records the images that make a rebased image.
type LockRebase struct {
	App         v1.Hash  `yaml:"app"`
	From        LockBase `yaml:"from,flow"`
	Onto        LockBase `yaml:"onto,flow"`
	PlatformAPI string   `yaml:"platformAPI,omitempty"`
}

// LockBase is the run image of an app image.
type LockBase struct {
	Reference string  `yaml:"reference,omitempty"`
	Image     string  `yaml:"image,omitempty"`
	Digest    v1.Hash `yaml:"digest,omitempty"`
	TopLayer  string  `yaml:"topLayer"`
}
