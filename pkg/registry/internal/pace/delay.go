package pace

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// bodyDelay matches the error message of GHCR.
//
// It is such as "retry-after: 880.092µs, allowed: 44000/minute".
var bodyDelay = regexp.MustCompile(`(?i)retry-after:\s*([0-9.]+\s*(?:ns|us|µs|ms|s|m|h))`)

// Delay returns the wait that a response asks for.
//
// It is a day at most. The second result is false if the response asks for none. The
// response may have Retry-After in seconds or as a date (RFC 9110, section 10.2.3),
// RateLimit-Reset in seconds or as a Unix time, RateLimit, or a duration in the body. Dates
// are compared to the Date of the response, because the clocks may differ.
func Delay(header http.Header, body string, now time.Time) (time.Duration, bool) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	if v := strings.TrimSpace(header.Get("Retry-After")); v != "" {
		if d, ok := seconds(v); ok {
			return d, true
		}
		if at, err := http.ParseTime(v); err == nil {
			return clamp(at.Sub(now)), true
		}
	}
	if m := bodyDelay.FindStringSubmatch(body); m != nil {
		if d, err := time.ParseDuration(strings.ReplaceAll(m[1], " ", "")); err == nil {
			return clamp(d), true
		}
	}
	for _, name := range []string{"Ratelimit-Reset", "X-Ratelimit-Reset"} {
		v, _, _ := strings.Cut(strings.TrimSpace(header.Get(name)), ";")
		if d, ok := resetIn(v, now); ok {
			return d, true
		}
	}
	for _, q := range structuredQuotas(header) {
		if d, ok := resetIn(q.reset, now); ok {
			return d, true
		}
	}
	return 0, false
}

// resetIn parses seconds or a Unix time.
func resetIn(s string, now time.Time) (time.Duration, bool) {
	if at, err := strconv.ParseInt(s, 10, 64); err == nil && at > 1e9 { // a Unix time
		return clamp(time.Unix(at, 0).Sub(now)), true
	}
	return seconds(s)
}

func seconds(s string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f != f {
		return 0, false
	}
	return clamp(time.Duration(min(f, day.Seconds()) * float64(time.Second))), true
}

func clamp(d time.Duration) time.Duration { return min(max(d, 0), day) }
