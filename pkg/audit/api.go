package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// maxLimit is the maximum number of verdicts in one answer.
const maxLimit = 1000

// writeJSON writes a value as the response.
func writeJSON(w http.ResponseWriter, status int, v any) {
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(output.EscapeJSON(raw), '\n')) // an error means that the client has closed the connection
}

// parseQuery parses the filters of /api/verdicts.
func parseQuery(in url.Values) (q query, err error) {
	q = query{Source: in.Get("source"), Text: in.Get("q"), Limit: 100}
	for _, list := range in["verdict"] {
		for _, name := range strings.Split(list, ",") {
			switch o := outcome(strings.ToUpper(name)); o {
			case verified, rejected, ignored:
				q.Outcomes = append(q.Outcomes, o)
			case "":
			default:
				return q, fmt.Errorf("bad verdict %q: want VERIFIED, REJECTED or IGNORED", event.Clip(name))
			}
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if *to, err = parseTime(in, name); err != nil {
			return q, err
		}
	}
	for name, to := range map[string]*uint64{"after": &q.After, "before": &q.Before} {
		if text := in.Get(name); text != "" {
			if *to, err = strconv.ParseUint(text, 10, 64); err != nil {
				return q, fmt.Errorf("bad %s %q: want a sequence number", name, event.Clip(text))
			}
		}
	}
	if text := in.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxLimit {
			return q, fmt.Errorf("bad limit %q: want a number from 1 to %d", event.Clip(text), maxLimit)
		}
	}
	return q, nil
}

// parseTime parses a time in a query. It is zero if the query does not have it.
func parseTime(in url.Values, name string) (t time.Time, err error) {
	text := in.Get(name)
	if text == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, fmt.Errorf("bad %s %q: want a time like 2006-01-02T15:04:05Z", name, event.Clip(text))
	}
	return t, nil
}

// verdicts handles /api/verdicts. A Link header refers to older verdicts.
func (s *server) verdicts(w http.ResponseWriter, r *http.Request) {
	in := r.URL.Query()
	q, err := parseQuery(in)
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	all, err := s.store.Verdicts(q)
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
		return
	}
	if len(all) == q.Limit {
		in.Set("before", strconv.FormatUint(all[len(all)-1].Seq, 10))
		w.Header().Set("Link", "</api/verdicts?"+in.Encode()+`>; rel="next"`)
	}
	writeJSON(w, http.StatusOK, all)
}

// minutes handles /api/timeline: numbers of verdicts by the minute.
func (s *server) minutes(w http.ResponseWriter, r *http.Request) {
	from, err := parseTime(r.URL.Query(), "since")
	if err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, s.timeline.since(from, time.Now()))
}

// drift handles /api/drift: the findings of the last sweep.
func (s *server) drift(w http.ResponseWriter, _ *http.Request) {
	all, err := s.store.drifts()
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, all)
}

// status is the answer of /api/status and /readyz.
type status struct {
	Ready     bool            `json:"ready"`
	Pending   int             `json:"pending"`           // events that wait for a verdict
	Retrying  int             `json:"retrying"`          // of these, events that were tried and could not be judged
	Trouble   string          `json:"trouble,omitempty"` // the last error about them
	Manifests manifestsStatus `json:"manifests"`
	Sweep     string          `json:"sweep,omitempty"`     // time between two sweeps; empty: no sweeps
	CommitURL string          `json:"commitURL,omitempty"` // of a commit of the manifests, with CommitMark for its id
	Counts    map[string]int  `json:"counts"`              // numbers of stored verdicts, by outcome
}

// manifestsStatus describes the manifests in use.
type manifestsStatus struct {
	Commit string     `json:"commit,omitempty"`
	Digest string     `json:"digest,omitempty"`
	Read   *time.Time `json:"read,omitempty"`
	Error  string     `json:"error,omitempty"`  // of newer manifests
	Faults []string   `json:"faults,omitempty"` // in their files, if that is the error
}

// state returns the status of the auditor.
//
// It is ready if it has manifests and room for events.
func (a *Auditor) state() status {
	rules, err := a.manifests.state()
	st := status{Pending: a.store.Pending(), Counts: map[string]int{}, CommitURL: a.options.CommitURL}
	st.Retrying, st.Trouble = a.worker.state()
	st.Ready = rules != nil && a.store.pending.Load() < a.store.maxPending
	if a.options.Sweep > 0 {
		st.Sweep = a.options.Sweep.String()
	}
	if rules != nil {
		read := rules.Read.UTC()
		st.Manifests = manifestsStatus{Commit: rules.Commit, Digest: rules.Set.Digest, Read: &read}
	}
	if err != nil {
		st.Manifests.Error = err.Error()
		if broken, ok := errors.AsType[*brokenError](err); ok {
			st.Manifests.Faults = broken.faults
		}
	}
	for o, n := range a.store.counts {
		if o == repeated {
			o = rejected
		}
		st.Counts[string(o)] += int(n.Load())
	}
	return st
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.state())
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	st := s.state()
	code := http.StatusOK
	if !st.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, st)
}
