package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const (
	maxOutput   = 1 << 20         // bytes of a program's output or a response; a credential has a few KiB
	programWait = 2 * time.Second // for the pipes of a killed program, which its children may hold open
)

// errTooLong stops a program that writes too much.
var errTooLong = fmt.Errorf("answer longer than %d bytes", maxOutput)

// askHelper runs a Docker credential helper to get the credential for server.
//
// If the helper has none, the result is the zero Credential.
func (s *Store) askHelper(ctx context.Context, name, server string) (Credential, error) {
	if strings.ContainsAny(name, `/\`) {
		return Credential{}, errors.New("a helper's name is not a path")
	}
	out, err := run(ctx, server, "docker-credential-"+name, "get")
	if err != nil {
		if strings.Contains(strings.ToLower(string(out)), "credentials not found") {
			return Credential{}, nil
		}
		return Credential{}, fmt.Errorf("asking for %s: %w", server, programError(err, out))
	}
	var got struct{ Username, Secret string }
	if err := json.Unmarshal(out, &got); err != nil {
		return Credential{}, fmt.Errorf("asking for %s: reading the answer: %w", server, jsonError(err))
	}
	switch {
	case got.Secret == "":
		return Credential{}, nil
	case got.Username == "<token>": // in the helper protocol: the secret is a refresh token
		return Credential{IdentityToken: got.Secret}, nil
	}
	return Credential{Username: got.Username, Password: got.Secret}, nil
}

// run runs a program and returns its standard output, also if it failed.
//
// Its standard error is discarded, because it may hold a secret.
func run(ctx context.Context, input, name string, args ...string) ([]byte, error) {
	var out limitedBuffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Stdout = &out
	cmd.WaitDelay = programWait
	err := cmd.Run()
	if out.full {
		return nil, errTooLong
	}
	return out.data, err
}

// programError adds a failed program's output to its error.
//
// Helpers write credentials and errors to standard output. Output that looks like a
// credential is not added.
func programError(err error, out []byte) error {
	text := strings.TrimSpace(string(out))
	if text == "" || strings.ContainsAny(text, "{}") {
		return err
	}
	return fmt.Errorf("%w: %q", err, clip(text))
}

// limitedBuffer accepts maxOutput bytes and then fails.
//
// It does not embed bytes.Buffer, whose ReadFrom would bypass the limit.
type limitedBuffer struct {
	data []byte
	full bool
}

// Write fails if the buffer would become too large.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > maxOutput {
		b.full = true
		return 0, errTooLong
	}
	b.data = append(b.data, p...)
	return len(p), nil
}
