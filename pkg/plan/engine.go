package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// engine is a system that runs a job several times and gives each run an index.
type engine struct {
	index, count string // environment variables
	first        int    // the lowest index
}

// engines are the systems that --shard=auto knows. Kubernetes sets only the index.
var engines = []engine{
	{"JOB_COMPLETION_INDEX", "CIP_SHARDS", 0},
	{"CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", 0},
	{"AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0},
	{"CI_NODE_INDEX", "CI_NODE_TOTAL", 1},
	{"BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0},
}

// ShardOf returns the shard that the environment names, as I/N.
func ShardOf(getenv func(string) string) (string, error) {
	found, by := "", ""
	for _, e := range engines {
		if getenv(e.index) == "" {
			continue
		}
		shard, err := e.shard(getenv)
		switch {
		case err != nil:
			return "", err
		case found != "" && found != shard:
			return "", fmt.Errorf("%s says %s, and %s says %s", by, found, e.index, shard)
		}
		found, by = shard, e.index
	}
	if found == "" {
		names := make([]string, len(engines))
		for i, e := range engines {
			names[i] = e.index
		}
		return "", errors.New("no index in the environment: want one of " + strings.Join(names, ", "))
	}
	return found, nil
}

// shard returns an engine's shard. Its index is set.
func (e engine) shard(getenv func(string) string) (string, error) {
	if getenv(e.count) == "" {
		return "", fmt.Errorf("%s is set, but not %s, the number of shards", e.index, e.count)
	}
	index, err := strconv.Atoi(getenv(e.index))
	count, countErr := strconv.Atoi(getenv(e.count))
	if err != nil || countErr != nil || index < e.first || index-e.first >= count {
		return "", fmt.Errorf("%s=%q is not an index of %s=%q shards (the first is %d)", e.index, getenv(e.index), e.count, getenv(e.count), e.first)
	}
	return fmt.Sprintf("%d/%d", index-e.first, count), nil
}
