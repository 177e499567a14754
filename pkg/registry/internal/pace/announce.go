package pace

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Announcement is the quota that a response announces.
type Announcement struct {
	Remaining int           // requests that the host still accepts
	Reset     time.Duration // until it accepts more; 0: unknown
}

// maxAnnounced is the greatest plausible number of announced requests.
const maxAnnounced = 1e9

// ParseAnnouncement reads the quota in a response.
//
// It knows RateLimit with RateLimit-Policy (all drafts of the IETF) and the fields
// RateLimit-Limit, -Remaining and -Reset, also with the prefix X-, with a window as Docker
// Hub has it ("100;w=21600"), with a Unix time or with RateLimit-ResetTime as GitLab has
// it. It returns the smallest quota. ok is false if there is none that makes sense.
func ParseAnnouncement(header http.Header, now time.Time) (least Announcement, ok bool) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	for _, q := range append(fieldQuotas(header), structuredQuotas(header)...) {
		a, plausible := q.announcement(now)
		if plausible && (!ok || a.Remaining < least.Remaining || a.Remaining == least.Remaining && a.Reset > least.Reset) {
			least, ok = a, true
		}
	}
	return least, ok
}

// quota is the text of an announcement. Empty fields were not sent.
type quota struct{ limit, remaining, reset string }

// announcement parses q.
func (q quota) announcement(now time.Time) (a Announcement, ok bool) {
	n, err := strconv.Atoi(q.remaining)
	if err != nil || n < 0 || n > maxAnnounced {
		return a, false
	}
	if limit, err := strconv.Atoi(q.limit); q.limit != "" && (err != nil || limit < 1 || n > limit) {
		return a, false
	}
	a.Remaining = n
	if q.reset == "" {
		return a, true
	}
	if at, err := http.ParseTime(q.reset); err == nil {
		a.Reset = clamp(at.Sub(now))
		return a, true
	}
	a.Reset, ok = resetIn(q.reset, now)
	return a, ok
}

// fieldQuotas returns the quotas of RateLimit-Remaining and its relatives.
func fieldQuotas(header http.Header) []quota {
	var all []quota
	for _, prefix := range []string{"Ratelimit-", "X-Ratelimit-"} {
		first := func(name string) string {
			members := split(header.Get(prefix+name), ',')
			return split(members[0], ';')[0]
		}
		q := quota{limit: first("Limit"), remaining: first("Remaining"), reset: first("Reset")}
		if q.reset == "" {
			q.reset = header.Get(prefix + "Resettime") // a date has commas
		}
		all = append(all, q)
	}
	return all
}

// structuredQuotas returns the quotas of RateLimit.
//
// It is a dictionary with limit, remaining and reset (draft 7), or a list of names of
// policies with the parameters r and t (later drafts).
func structuredQuotas(header http.Header) []quota {
	other := map[string]bool{} // policies that do not count requests
	for _, member := range split(strings.Join(header.Values("Ratelimit-Policy"), ","), ',') {
		parts := split(member, ';')
		unit := parameter(parts[1:], "qu")
		other[parts[0]] = unit != "" && unit != `"requests"`
	}
	var dictionary quota
	var all []quota
	for _, member := range split(strings.Join(header.Values("Ratelimit"), ","), ',') {
		parts := split(member, ';')
		switch key, value, _ := strings.Cut(parts[0], "="); key {
		case "limit":
			dictionary.limit = value
		case "remaining":
			dictionary.remaining = value
		case "reset":
			dictionary.reset = value
		default:
			if !other[parts[0]] {
				all = append(all, quota{remaining: parameter(parts[1:], "r"), reset: parameter(parts[1:], "t")})
			}
		}
	}
	return append(all, dictionary)
}

// parameter returns the value of a parameter, or "".
func parameter(parts []string, name string) string {
	for _, p := range parts {
		if key, value, _ := strings.Cut(p, "="); key == name {
			return value
		}
	}
	return ""
}

// split splits s at a separator that is not within quotes. There is at least one part.
func split(s string, separator rune) []string {
	quoted := false
	parts := strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == separator && !quoted
	})
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	if len(parts) == 0 {
		return []string{""}
	}
	return parts
}

// allowedRate matches GHCR's error message, such as "allowed: 2000/minute".
var allowedRate = regexp.MustCompile(`(?i)\ballowed:\s*([0-9]{1,9})/(second|minute|hour)\b`)

// AllowedRate returns the requests per second that the text of a refusal allows.
func AllowedRate(body string) (perSecond float64, ok bool) {
	m := allowedRate.FindStringSubmatch(body)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	seconds := map[string]float64{"second": 1, "minute": 60, "hour": 3600}[strings.ToLower(m[2])]
	return n / seconds, err == nil && n > 0
}

// announced is the state of the announcements of a host.
type announced struct {
	known   bool
	left    int       // remaining requests
	at      time.Time // when left last changed
	granted int       // accepted requests since then
	waited  bool      // a pause until the reset, after which nothing was left either
}

// doubtful is the number of accepted requests, beyond those that were left, after which an
// announcement is ignored. Docker Hub, for example, counts only some requests.
const doubtful = 5

// room returns the number of requests that may be in flight.
func (h *Host) room() int {
	a := &h.announced
	if !a.known || a.granted > a.left+doubtful {
		return int(h.limit)
	}
	return min(int(h.limit), max(1, a.left))
}

// Announced records the quota that a response to an accepted request announces.
//
// If nothing is left, no request is sent until the reset, unless that is later than
// patience. It then returns the end of this pause, else the zero time. After that the
// host must announce more than nothing before another such pause.
func (s *Slot) Announced(q Announcement, patience time.Duration) (until time.Time) {
	h := s.host
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	a := &h.announced
	switch {
	case a.known && q.Remaining == a.left:
		a.granted++
	case a.known && q.Remaining > a.left && !s.sent.After(a.at):
		return time.Time{} // responses may arrive in another order
	default:
		a.known, a.left, a.at, a.granted = true, q.Remaining, now, 0
	}
	switch {
	case q.Remaining > 0:
		a.waited = false
	case q.Reset > 0 && q.Reset <= patience && !a.waited && now.After(h.until):
		a.known, a.waited = false, true
		h.pause(now.Add(q.Reset))
		h.refuse(s, now)
		h.doubt, h.resumed = refusal{}, h.until
		return h.until
	}
	return time.Time{}
}
