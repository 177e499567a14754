package git

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// day is the form of a date. A time and a zone may follow.
const day = "2006-01-02"

// duration is a number and a unit.
//
// Numbers of more digits are more likely abbreviations of commit ids, such as 1234567d.
var duration = regexp.MustCompile(`^(\d{1,4}) ?([a-z]+)( ago)?$`)

// Start returns the beginning of a window that ends now.
//
// text is a date (2026-11-01, 2026-11-01T12:30Z, "2026-11-01 12:30 +0200"; UTC if it
// has no zone) or a duration (36h, 14d, "14 days", 2w, 3mo, 1y). ok is false if it is
// neither.
func Start(text string, now time.Time) (start time.Time, ok bool, err error) {
	now = now.UTC()
	if start, ok := date(text); ok {
		return start, true, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 { // 1h30m
		return now.Add(-d), true, nil
	}
	m := duration.FindStringSubmatch(text)
	if m == nil {
		return time.Time{}, false, nil
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return time.Time{}, false, err
	}
	switch strings.TrimSuffix(m[2], "s") {
	case "", "sec", "second":
		start = now.Add(-time.Duration(n) * time.Second)
	case "m", "min", "minute":
		start = now.Add(-time.Duration(n) * time.Minute)
	case "h", "hour":
		start = now.Add(-time.Duration(n) * time.Hour)
	case "d", "day":
		start = now.AddDate(0, 0, -n)
	case "w", "week":
		start = now.AddDate(0, 0, -7*n)
	case "mo", "month":
		start = now.AddDate(0, -n, 0)
	case "y", "year":
		start = now.AddDate(-n, 0, 0)
	default:
		return time.Time{}, false, nil
	}
	if n == 0 {
		return time.Time{}, false, fmt.Errorf("bad duration %q: must be positive", text)
	}
	return start, true, nil
}

// date parses a date, with or without a time and a zone.
func date(text string) (time.Time, bool) {
	forms := []string{day}
	for _, clock := range []string{"T15:04:05", "T15:04", " 15:04:05", " 15:04"} {
		for _, zone := range []string{"", "Z07:00", "-0700", " Z07:00", " -0700"} {
			forms = append(forms, day+clock+zone)
		}
	}
	for _, form := range forms {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
