package yamlread

import (
	"fmt"
	"slices"
	"strings"
)

// closest reports whether key is one of names.
//
// If it is not, hint suggests the most similar name, or is "" if none is similar.
func closest(key string, names []string) (hint string, ok bool) {
	if slices.Contains(names, key) {
		return "", true
	}
	if name := Closest(key, names); name != "" {
		hint = fmt.Sprintf(": did you mean %q?", name)
	}
	return hint, false
}

// slips are words that people write for a key that has another name.
var slips = map[string]string{
	"source": "src", "image": "name", "repo": "name", "repository": "name", "registry": "name", "url": "name", "digests": "dmap", "mirror": "mirrors",
}

// Closest returns the name that is most similar to key, or "" if none is similar.
func Closest(key string, names []string) (closest string) {
	if usual := slips[key]; slices.Contains(names, usual) {
		return usual
	}
	plain := strings.ToLower(strings.ReplaceAll(key, "_", "-"))
	best := -1
	for _, name := range names {
		want := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		d := distance(plain, want, max(1, len(want)/3))
		if d >= 0 && (best < 0 || d < best) {
			best, closest = d, name
		}
	}
	return closest
}

// distance returns the edit distance between a and b, or -1 if it is more than most.
//
// An edit replaces, inserts or deletes a letter, or swaps two adjacent ones
// (optimal string alignment).
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return -1
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			changed := last[j]
			if a[i] != b[j] {
				changed++
			}
			row[j+1] = min(changed, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	if d := last[len(b)]; d <= most {
		return d
	}
	return -1
}
