package output

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/verify"
)

func TestWriteVerification(t *testing.T) {
	t.Parallel()
	intact := verify.Chain{
		Reference: "registry.example.com/apple:v1", Digest: "sha256:aa", Verdict: verify.Intact,
		Links: []verify.Link{
			{Kind: verify.KindRecord, Status: verify.OK, Detail: "signed by a\x1b at noon"},
			{Kind: verify.KindSignature, Status: verify.NotChecked, Detail: "not required (--require-signature)"},
		},
	}
	broken := verify.Chain{
		Reference: "registry.example.com/pear@sha256:bb", Verdict: verify.Broken,
		Links: []verify.Link{{Kind: verify.KindRecord, Status: verify.Missing, Detail: "no record of | a"}},
		Notes: []string{"record x is no proof: its signer is eve"},
	}
	both := []verify.Chain{intact, broken}
	const intactText = `registry.example.com/apple:v1: ok
  digest      sha256:aa
  record      ok           signed by a\x1b at noon
  signature   not checked  not required (--require-signature)
`
	const brokenText = `registry.example.com/pear@sha256:bb: broken
  record      missing      no record of | a
  note: record x is no proof: its signer is eve
`
	const brokenRows = `
#### Broken

| image | link | status | detail |
| --- | --- | --- | --- |
| ` + "`registry.example.com/pear@sha256:bb` | record | missing | `no record of \\x7c a`" + ` |
| | note | | ` + "`record x is no proof: its signer is eve`" + ` |
`
	tests := map[string]struct {
		v      Verification
		format Format
		want   string
	}{
		"text of named images": {Verification{both, true}, Text, intactText + brokenText + "1 ok, 1 broken\n"},
		"text of all images":   {Verification{both, false}, Text, brokenText + "1 ok, 1 broken\n"},
		"text of no image":     {Verification{}, Text, "nothing to verify\n"},
		"markdown of named images": {Verification{both, true}, Markdown, "### cip verify: 1 ok, 1 broken\n" + brokenRows + `
#### Verified

| image | link | status | detail |
| --- | --- | --- | --- |
| ` + "`registry.example.com/apple:v1` | record | ok | `signed by a\\x1b at noon`" + ` |
|  | signature | not checked | ` + "`not required (--require-signature)`" + ` |
`},
		"markdown of all images": {
			Verification{both, false}, Markdown,
			"### cip verify: 1 ok, 1 broken\n" + brokenRows + "\n<details><summary>1 image verified</summary>\n\n- `registry.example.com/apple:v1`\n\n</details>\n",
		},
		"json of no image": {Verification{}, JSON, "[]\n"},
		"json": {Verification{[]verify.Chain{broken}, false}, JSON, `[
  {
    "reference": "registry.example.com/pear@sha256:bb",
    "digest": "",
    "verdict": "broken",
    "links": [
      {
        "kind": "record",
        "status": "missing",
        "detail": "no record of | a"
      }
    ],
    "notes": [
      "record x is no proof: its signer is eve"
    ]
  }
]
`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := WriteVerification(&b, tc.v, tc.format, false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, b.String()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestVerificationColors(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := verify.Chain{Reference: "r", Verdict: verify.Broken, Links: []verify.Link{{Kind: verify.KindRecord, Status: verify.Missing, Detail: "none"}}}
	if err := WriteVerification(&b, Verification{[]verify.Chain{c}, true}, Text, true); err != nil {
		t.Fatal(err)
	}
	if want := "r: " + red + "broken" + plain + "\n  record      " + red + "missing      " + plain + "none\n1 broken\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
