package output

import (
	"fmt"
	"io"
	"text/tabwriter"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// WriteShards writes the sizes of shards as text or JSON.
func WriteShards(w io.Writer, sizes []plan.ShardSize, format Format) error {
	if format == JSON {
		return WriteJSON(w, sizes)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "shard\trepositories\timages\ttags")
	for _, s := range sizes {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", s.Shard, s.Repositories, s.Images, s.Tags)
	}
	return t.Flush()
}
