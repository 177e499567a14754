package plan_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func TestShardOfTheEnvironment(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env  string // KEY=VALUE, with spaces in between
		want string // the shard, or a part of the error
	}{
		"Kubernetes":             {"JOB_COMPLETION_INDEX=3 CIP_SHARDS=8", "3/8"},
		"Cloud Run":              {"CLOUD_RUN_TASK_INDEX=0 CLOUD_RUN_TASK_COUNT=2", "0/2"},
		"AWS Batch":              {"AWS_BATCH_JOB_ARRAY_INDEX=1 AWS_BATCH_JOB_ARRAY_SIZE=2", "1/2"},
		"GitLab":                 {"CI_NODE_INDEX=2 CI_NODE_TOTAL=2", "1/2"},
		"Buildkite":              {"BUILDKITE_PARALLEL_JOB=1 BUILDKITE_PARALLEL_JOB_COUNT=4", "1/4"},
		"two that agree":         {"JOB_COMPLETION_INDEX=1 CIP_SHARDS=2 CI_NODE_INDEX=2 CI_NODE_TOTAL=2", "1/2"},
		"two that do not":        {"JOB_COMPLETION_INDEX=1 CIP_SHARDS=2 CI_NODE_INDEX=1 CI_NODE_TOTAL=2", "JOB_COMPLETION_INDEX says 1/2, and CI_NODE_INDEX says 0/2"},
		"none":                   {"", "no index in the environment: want one of JOB_COMPLETION_INDEX, "},
		"only a count":           {"CIP_SHARDS=8", "no index in the environment"},
		"no count":               {"JOB_COMPLETION_INDEX=3", "JOB_COMPLETION_INDEX is set, but not CIP_SHARDS"},
		"not below the count":    {"JOB_COMPLETION_INDEX=8 CIP_SHARDS=8", `JOB_COMPLETION_INDEX="8" is not an index of CIP_SHARDS="8" shards (the first is 0)`},
		"the first of GitLab":    {"CI_NODE_INDEX=0 CI_NODE_TOTAL=2", "(the first is 1)"},
		"the last of GitLab":     {"CI_NODE_INDEX=3 CI_NODE_TOTAL=2", "(the first is 1)"},
		"negative":               {"JOB_COMPLETION_INDEX=-1 CIP_SHARDS=2", "is not an index"},
		"not a number":           {"JOB_COMPLETION_INDEX=a CIP_SHARDS=2", "is not an index"},
		"a count not a number":   {"JOB_COMPLETION_INDEX=1 CIP_SHARDS=many", "is not an index"},
		"one is broken, not two": {"JOB_COMPLETION_INDEX=1 CIP_SHARDS=2 CLOUD_RUN_TASK_INDEX=0", "CLOUD_RUN_TASK_INDEX is set, but not CLOUD_RUN_TASK_COUNT"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{}
			for _, word := range strings.Fields(tc.env) {
				key, value, _ := strings.Cut(word, "=")
				env[key] = value
			}
			got, err := plan.ShardOf(func(key string) string { return env[key] })
			if err != nil {
				got = err.Error()
			}
			if got != tc.want && (err == nil || !strings.Contains(got, tc.want)) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
