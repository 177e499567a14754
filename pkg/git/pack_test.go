package git_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// Types of objects in a pack (gitformat-pack(5)).
const blob, ofsDelta, refDelta = 3, 6, 7

// entry returns an object of a pack. The size is what its header says.
func entry(t *testing.T, kind, size int, offset, content string) string {
	t.Helper()
	var b bytes.Buffer
	first := byte(kind<<4 | size&15)
	if size >>= 4; size > 0 {
		b.Write(binary.AppendUvarint([]byte{first | 0x80}, uint64(size)))
	} else {
		b.WriteByte(first)
	}
	b.WriteString(offset)
	z := zlib.NewWriter(&b)
	if _, err := io.WriteString(z, content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pack returns a pack whose header announces a number of objects.
func pack(count uint32, entries ...string) string {
	all := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), count)
	all = append(all, strings.Join(entries, "")...)
	sum := sha1.Sum(all)
	return string(append(all, sum[:]...))
}

// line returns a line of the protocol (gitprotocol-common(5)).
func line(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// serveAnswer serves a repository with one branch.
//
// The function writes the response to a request for a pack.
func serveAnswer(t *testing.T, answer func(w io.Writer, r *http.Request)) string {
	t.Helper()
	const id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repo/info/refs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = io.WriteString(w, line("# service=git-upload-pack\n")+"0000"+
			line(id+" refs/heads/main\x00ofs-delta shallow side-band-64k\n")+"0000")
	})
	mux.HandleFunc("POST /repo/git-upload-pack", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		answer(w, r)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/repo"
}

// repeat writes a text until the client closes the connection.
func repeat(text string, pause time.Duration) func(io.Writer, *http.Request) {
	return func(w io.Writer, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
			if pause > 0 {
				_ = http.NewResponseController(w.(http.ResponseWriter)).Flush()
				time.Sleep(pause)
			}
		}
	}
}

// send writes a pack.
func send(pack string) func(io.Writer, *http.Request) {
	return func(w io.Writer, _ *http.Request) {
		_, _ = io.WriteString(w, line("NAK\n"))
		for part := range slices.Chunk([]byte(pack), 60000) {
			_, _ = io.WriteString(w, line("\x01"+string(part))) // the client may close the connection
		}
		_, _ = io.WriteString(w, "0000")
	}
}

// A git server does not decide how much memory a fetch uses, nor how long it takes.
func TestPacksAreBounded(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	zeros := strings.Repeat("\x00", 2*mib)
	half := entry(t, blob, mib/2, "", zeros[:mib/2])
	small := entry(t, blob, 3, "", "abc")
	// Each instruction copies the whole base.
	expanding := string(binary.AppendUvarint(binary.AppendUvarint(nil, mib/2), 2*mib)) + strings.Repeat("\xe0\x00\x08", 4)
	delta := entry(t, ofsDelta, len(expanding), string([]byte{0x80 | byte(len(half)>>7-1), byte(len(half) & 0x7f)}), expanding)
	named := entry(t, refDelta, len(expanding), strings.Repeat("b", 20), expanding)
	// Each delta copies its base of 60 KiB, the delta before it.
	copying := string(binary.AppendUvarint(binary.AppendUvarint(nil, 60<<10), 60<<10)) + "\xb0\x00\xf0"
	chain := []string{entry(t, blob, 60<<10, "", zeros[:60<<10])}
	for range 40 {
		before := len(chain[len(chain)-1])
		offset := string([]byte{byte(before)})
		if before > 0x7f {
			offset = string([]byte{0x80 | byte(before>>7-1), byte(before & 0x7f)})
		}
		chain = append(chain, entry(t, ofsDelta, len(copying), offset, copying))
	}
	id := strings.Repeat("a", 40)
	progress := func(w io.Writer, r *http.Request) {
		_, _ = io.WriteString(w, line("NAK\n"))
		repeat(line("\x02Counting objects\r"), 0)(w, r)
	}
	shallow := func(w io.Writer, r *http.Request) {
		_, _ = io.WriteString(w, line("shallow "+id)+"0000")
		send(pack(1, half))(w, r)
	}
	tests := map[string]struct {
		answer func(io.Writer, *http.Request)
		depth  int
		limits git.Limits
		want   string
	}{
		"a large object":                 {send(pack(1, entry(t, blob, 2*mib, "", zeros))), 0, git.Limits{Object: mib}, "the server sent an object of more than 1 MiB"},
		"a large object without history": {shallow, 1, git.Limits{Object: 1 << 10}, "the server sent an object of more than 1 KiB"},
		"a large result of a delta":      {send(pack(2, half, delta)), 0, git.Limits{Object: mib}, "the server sent an object of more than 1 MiB"},
		"large objects together":         {send(pack(3, half, half, half)), 0, git.Limits{Inflated: mib}, "the server sent more than 1 MiB of commits and files after decompression"},
		"large results together":         {send(pack(2, half, delta)), 0, git.Limits{Inflated: 2 * mib}, "the server sent more than 2 MiB of commits and files after decompression"},
		"a chain of deltas":              {send(pack(2, half, delta)), 0, git.Limits{Chain: 2 * mib}, "the server sent an object that needs more than 2 MiB together with those"},
		"a long chain of small deltas":   {send(pack(41, chain...)), 0, git.Limits{Chain: 2 * mib}, "the server sent an object that needs more than 2 MiB together with those"},
		"deltas that name their bases":   {send(pack(3, half, named, named)), 0, git.Limits{Chain: 3 * mib}, "the server sent an object that needs more than 3 MiB together with those"},
		"more than its header says":      {send(pack(1, entry(t, blob, 3, "", zeros))), 0, git.Limits{}, "inflated object exceeds declared size"},
		"a header with many objects":     {send(pack(math.MaxUint32, small)), 0, git.Limits{}, "the server sent a pack of 4294967295 objects, more than 2000000"},
		"objects that are not there":     {send(pack(1_000_000, small)), 0, git.Limits{}, "reading the pack that the server sent"},
		"many objects":                   {send(pack(3, small, small, small)), 0, git.Limits{Objects: 2}, "the server sent a pack of 3 objects, more than 2"},
		"a delta without sizes":          {send(pack(2, small, entry(t, ofsDelta, 1, string([]byte{byte(len(small))}), "\x80"))), 0, git.Limits{}, "size of a delta"},
		"no pack":                        {send("no pack"), 0, git.Limits{}, "malformed pack file signature"},
		"endless acknowledgements":       {repeat(line("ACK "+id+" continue\n"), 0), 0, git.Limits{Preface: 64 << 10}, "the server sent more than 64 KiB of text that precedes the commits and files"},
		"endless ends of the history":    {repeat(line("shallow "+id), 0), 1, git.Limits{Preface: 64 << 10}, "the server sent more than 64 KiB of text that precedes the commits and files"},
		"endless progress":               {progress, 0, git.Limits{Pack: mib}, "the server sent more than 1 MiB of commits and files"},
		"a few bytes from time to time":  {repeat(line("NAK\n"), 50*time.Millisecond), 0, git.Limits{Slow: time.Second}, "the server sent less than 1 KiB/s for 1s"},
	}
	for name, tc := range tests {
		for _, copied := range []string{"in memory", "on disk"} {
			t.Run(name+" "+copied, func(t *testing.T) {
				t.Parallel()
				url := serveAnswer(t, tc.answer)
				m := git.Remote{URL: url, Branch: "main", Depth: tc.depth, Limits: tc.limits}
				if copied == "on disk" {
					m.Dir = t.TempDir()
				}
				_, _, err := m.Fetch(t.Context())
				if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), url) {
					t.Errorf("error: got %v, want one that says %q and names %s", err, tc.want, url)
				}
				if left, _ := filepath.Glob(m.Dir + "/objects/pack/*"); m.Dir != "" && len(left) > 0 {
					t.Errorf("left behind: got %q, want nothing", left)
				}
			})
		}
	}
}
