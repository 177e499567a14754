package logs_test

import (
	"bytes"
	"testing"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/internal/logs"
)

func TestText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		level  logrus.Level
		fields logrus.Fields
		want   string
	}{
		"info":     {logrus.InfoLevel, nil, "seen\n"},
		"warning":  {logrus.WarnLevel, nil, "warning: seen\n"},
		"fields":   {logrus.DebugLevel, logrus.Fields{"try": 2, "credential": "a b", "url": ""}, "debug: seen credential=\"a b\" try=2 url=\"\"\n"},
		"fault":    {logrus.ErrorLevel, logrus.Fields{"place": "f:1:2"}, "seen\n"},
		"examples": {logrus.ErrorLevel, logrus.Fields{logs.Examples: []string{"a", "b\x1b"}, "tags": 7, "repositories": 3}, "error: seen\n  a\n  b\\x1b\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			log := logrus.New()
			log.Out, log.Formatter, log.Level = &b, logs.Text{}, logrus.TraceLevel
			log.WithFields(tc.fields).Log(tc.level, "seen")
			if got := b.String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
