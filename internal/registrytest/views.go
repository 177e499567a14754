package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

func catalogView(st *store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := classify(r); kind != Catalog {
			next.ServeHTTP(w, r)
			return
		}
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
	})
}

// setLink names the page that follows r's, reached by setting key to value.
func setLink(w http.ResponseWriter, r *http.Request, key, value string) {
	q := r.URL.Query()
	q.Set(key, value)
	next := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
	w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next.String()))
}

// capPages lowers n, or adds it, in requests for tag lists and catalogs.
func capPages(size int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := classify(r); kind != Tags && kind != Catalog {
			next.ServeHTTP(w, r)
			return
		}
		q := r.URL.Query()
		if n, err := strconv.Atoi(q.Get("n")); err != nil || n > size {
			q.Set("n", strconv.Itoa(size))
		}
		r = clone(r)
		r.URL.RawQuery = q.Encode()
		next.ServeHTTP(w, r)
	})
}

func noReferrersView(_ *store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := classify(r); kind == Referrers {
			http.NotFound(w, r)
			return
		}
		tw := &tap{ResponseWriter: w, header: func(int) { w.Header().Del("OCI-Subject") }}
		next.ServeHTTP(tw, r)
		tw.finish()
	})
}

func strictTagsView(st *store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, repo, _ := classify(r); kind == Tags && !st.everTagged(repo) {
			writeError(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func noMultiTagView(_ *store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := classify(r); kind != ManifestPut {
			next.ServeHTTP(w, r)
			return
		}
		r = clone(r)
		q := r.URL.Query()
		q.Del("tag")
		r.URL.RawQuery = q.Encode()
		// olareg confirms even the tag in the path, which registries without the feature do not.
		tw := &tap{ResponseWriter: w, header: func(int) { w.Header().Del("OCI-Tag") }}
		next.ServeHTTP(tw, r)
		tw.finish()
	})
}

func noSinglePostView(_ *store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := classify(r); kind == UploadPost {
			r = clone(r)
			r.URL.RawQuery, r.Body, r.ContentLength = "", http.NoBody, 0
		}
		next.ServeHTTP(w, r)
	})
}
