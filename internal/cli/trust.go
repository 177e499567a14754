package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// tufVariable names the directory in which sigstore's clients keep its public root.
const tufVariable = "TUF_ROOT"

// trustOptions are the flags that say whose signatures count, and what verifies them.
type trustOptions struct {
	signatureKey                                   string
	identity, identityRegexp, issuer, issuerRegexp string
	trustedRoots                                   []string
	ifPresent                                      bool // images without a signature or provenance are accepted: no flag says so
}

func (o *trustOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.signatureKey, "signature-key", "", "refuse images without a cosign signature by the public key in this PEM `file`")
	f.StringVar(&o.identity, "certificate-identity", "", "refuse images without a cosign signature by a certificate of this `identity`")
	f.StringVar(&o.identityRegexp, "certificate-identity-regexp", "", "the same for identities that this `expression` matches, anywhere")
	f.StringVar(&o.issuer, "certificate-oidc-issuer", "", "OpenID Connect issuer `URL` of the identity in certificates")
	f.StringVar(&o.issuerRegexp, "certificate-oidc-issuer-regexp", "", "the same for issuers that this `expression` matches, anywhere")
	f.StringSliceVar(&o.trustedRoots, "trusted-root", nil, "trusted_root.json `files` that verify certificates (default: sigstore's public root, loaded if needed)")
}

// certificate returns the pattern of certificates, nil if no flag is set.
func (o *trustOptions) certificate() (*provenance.Certificate, error) {
	if o.identity == "" && o.identityRegexp == "" && o.issuer == "" && o.issuerRegexp == "" {
		return nil, nil
	}
	c, err := provenance.NewCertificate(o.identity, o.identityRegexp, o.issuer, o.issuerRegexp)
	if err != nil {
		return nil, fmt.Errorf("%w (want --certificate-identity or --certificate-identity-regexp, and --certificate-oidc-issuer or --certificate-oidc-issuer-regexp)", err)
	}
	return c, nil
}

// signers returns those who must have signed an image, each. There is none without a flag.
func (o *trustOptions) signers() ([]check.Signer, error) {
	var all []check.Signer
	keys, err := o.key()
	if err != nil {
		return nil, err
	}
	for _, pem := range keys {
		id, err := evidence.KeyID(pem)
		if err != nil {
			return nil, err
		}
		all = append(all, check.Signer{Name: "the key in " + o.signatureKey, Matches: func(by provenance.Identity) bool { return by.Key == id }})
	}
	c, err := o.certificate()
	if c != nil {
		all = append(all, check.Signer{Name: c.String(), Matches: c.Matches})
	}
	return all, err
}

// key returns the content of --signature-key, nil without the flag.
func (o *trustOptions) key() ([][]byte, error) {
	if o.signatureKey == "" {
		return nil, nil
	}
	pem, err := load.File(o.signatureKey, load.MaxKey)
	if err != nil {
		return nil, fmt.Errorf("reading --signature-key: %w", err)
	}
	if _, err := evidence.KeyID(pem); err != nil {
		return nil, fmt.Errorf("reading --signature-key %s: %w (cosign public-key prints the public key)", o.signatureKey, err)
	}
	return [][]byte{pem}, nil
}

// trust returns what verifies signatures, by the key, more keys and certificates. It reads
// files, and sends no request: sigstore's public root is loaded for the first certificate.
func (o *trustOptions) trust(s *session, more ...[]byte) (*evidence.Trust, error) {
	keys, err := o.key()
	if err != nil {
		return nil, err
	}
	t := evidence.TrustOptions{Keys: append(keys, more...)}
	for _, name := range o.trustedRoots {
		raw, err := load.File(name, load.MaxFile)
		if err == nil {
			_, err = evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{raw}})
		}
		if err != nil {
			return nil, fmt.Errorf("reading --trusted-root %s: %w", name, err)
		}
		t.Roots = append(t.Roots, raw)
	}
	t.Public = evidence.PublicRoot(rootCache(s), "cip/"+s.build.Version)
	return evidence.NewTrust(t)
}

// trustKey returns what verifies signatures by the key alone.
func (o *trustOptions) trustKey() (*evidence.Trust, error) {
	keys, err := o.key()
	if err != nil {
		return nil, err
	}
	return evidence.NewTrust(evidence.TrustOptions{Keys: keys})
}

// evidence returns what reads attestations and verifies their signatures, for policies.
func (o *trustOptions) evidence(from evidence.Source, s *session) (*evidence.Reader, error) {
	trust, err := o.trust(s)
	if err != nil {
		return nil, err
	}
	return evidence.NewReader(from, trust), nil
}

// rootCache returns the directory for sigstore's public root; empty: it is not kept.
func rootCache(s *session) string {
	if dir := s.getenv(tufVariable); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "cip", "sigstore")
}

// signature returns the rule signature, nil without a flag. Without an identity only the
// key is trusted, so that no root is loaded.
func (o *trustOptions) signature(from evidence.Source, s *session) (check.Rule, error) {
	signers, err := o.signers()
	if err != nil || len(signers) == 0 {
		return nil, err
	}
	var trust *evidence.Trust
	if c, _ := o.certificate(); c == nil {
		trust, err = o.trustKey()
	} else {
		trust, err = o.trust(s)
	}
	if err != nil {
		return nil, err
	}
	return check.Signature{Read: evidence.NewReader(from, trust), Signers: signers, IfPresent: o.ifPresent}, nil
}
