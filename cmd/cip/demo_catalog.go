package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// withCatalog adds GET /v2/_catalog to a registry that has none: the repositories
// that a manifest was put into since it started.
func withCatalog(registry http.Handler) http.Handler {
	var mu sync.Mutex
	var names []string
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/_catalog" && r.Method == http.MethodGet {
			mu.Lock()
			defer mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string][]string{"repositories": append([]string{}, names...)})
			return
		}
		if name, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/"); ok && r.Method == http.MethodPut {
			mu.Lock()
			if at, known := slices.BinarySearch(names, name); !known {
				names = slices.Insert(names, at, name)
			}
			mu.Unlock()
		}
		registry.ServeHTTP(w, r)
	})
}
