package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

func catalogView(st *store) Fault {
	return only(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		names := st.repositories()
		last := r.URL.Query().Get("last")
		names = slices.DeleteFunc(names, func(name string) bool { return name <= last })
		if asked := r.URL.Query().Get("n"); asked != "" {
			n, err := strconv.Atoi(asked)
			if err != nil || n < 0 {
				writeError(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
				return
			}
			if n < len(names) {
				names = names[:n]
				if n > 0 {
					setLink(w, r, "last", names[n-1])
				}
			}
		}
		writeJSON(w, map[string][]string{"repositories": append([]string{}, names...)})
	}, Is(Catalog))
}

// editQuery lets f change the query of a request.
func editQuery(r *http.Request, f func(q url.Values)) {
	q := r.URL.Query()
	f(q)
	r.URL.RawQuery = q.Encode()
}

// setLink names the page that follows r's, reached by setting key to value.
func setLink(w http.ResponseWriter, r *http.Request, key, value string) {
	q := r.URL.Query()
	q.Set(key, value)
	next := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
	w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next.String()))
}

func strictTagsView(st *store) Fault {
	neverTagged := func(r *http.Request) bool {
		_, repo, _ := classify(r)
		return !st.everTagged(repo)
	}
	return only(Refuse(http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry"), Is(Tags), neverTagged)
}
