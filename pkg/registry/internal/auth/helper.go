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
	maxOutput   = 1 << 20         // bytes of a program's or a server's answer; a credential is a few KiB
	programWait = 2 * time.Second // for the pipes of a program that was ended, which its children may hold
)

// errTooLong ends a program that writes without end.
var errTooLong = fmt.Errorf("answer longer than %d bytes", maxOutput)

// askHelper asks a Docker credential helper for what it keeps for server:
// nothing is the zero Credential.
func (s *Store) askHelper(ctx context.Context, name, server string) (Credential, error) {
	if strings.ContainsAny(name, `/\`) {
		return Credential{}, errors.New("a helper's name is not a path")
	}
	out, err := run(ctx, server, "docker-credential-"+name, "get")
	if err != nil {
		if strings.Contains(strings.ToLower(string(out)), "credentials not found") {
			return Credential{}, nil
		}
		return Credential{}, fmt.Errorf("asking for %s: %w", server, programFault(err, out))
	}
	var got struct{ Username, Secret string }
	if err := json.Unmarshal(out, &got); err != nil {
		return Credential{}, fmt.Errorf("asking for %s: reading the answer: %w", server, jsonFault(err))
	}
	switch {
	case got.Secret == "":
		return Credential{}, nil
	case got.Username == "<token>": // the helpers' way to say that the secret is a refresh token
		return Credential{IdentityToken: got.Secret}, nil
	}
	return Credential{Username: got.Username, Password: got.Secret}, nil
}

// run runs a program with input and returns what it wrote, also if it failed.
// Its standard error is dropped: it is not ours to print, and may hold anything.
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

// programFault says why a program failed, in its own words unless these look like
// a credential: helpers report on standard output, where their answers go too.
func programFault(err error, out []byte) error {
	text := strings.TrimSpace(string(out))
	if text == "" || strings.ContainsAny(text, "{}") {
		return err
	}
	return fmt.Errorf("%w: %q", err, clip(text))
}

// limitedBuffer takes maxOutput bytes and then fails. The buffer is not embedded:
// its ReadFrom would go round the limit.
type limitedBuffer struct {
	data []byte
	full bool
}

// Write fails once there would be too much.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > maxOutput {
		b.full = true
		return 0, errTooLong
	}
	b.data = append(b.data, p...)
	return len(p), nil
}
