package auth

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/smithy-go/logging"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

const (
	awsWithin       = 5 * time.Second // for sign-in and token: without a network the SDK retries for minutes
	ecrPublicRegion = "us-east-1"     // the only region with tokens for ECR Public
)

// ecrHost matches the host of a private registry: account, FIPS suffix, region.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.aws|on\.amazonwebservices\.com\.cn)$`)

// isECRPublic reports whether host is AWS's public registry.
func isECRPublic(host string) bool { return host == "public.ecr.aws" || host == "ecr-public.aws.com" }

// isECR reports whether host is one of AWS's registries.
func isECR(host string) bool { return isECRPublic(host) || ecrHost.MatchString(host) }

// ecr returns a token of the AWS identity. One token serves all registries of a region.
//
// A failure is always an error for private registries, which accept no anonymous request.
func (s *Store) ecr(ctx context.Context, host string) (answer, error) {
	onEC2 := s.onEC2()
	if !onEC2 && !awsConfigured() {
		return answer{}, errAbsent
	}
	region, fips, public := ecrPublicRegion, false, isECRPublic(host)
	key := sharedPrefix + "ecr public"
	if !public {
		m := ecrHost.FindStringSubmatch(host)
		region, fips = m[2], m[1] != ""
		key = fmt.Sprintf("%secr %s %t", sharedPrefix, region, fips)
	}
	a, err := s.cache.get(ctx, key, func(ctx context.Context) (answer, error) {
		ctx, cancel := context.WithTimeout(ctx, awsWithin)
		defer cancel()
		conf, err := s.awsConfig(ctx, region, fips, onEC2)
		if err != nil {
			return answer{}, fmt.Errorf("reading the AWS configuration: %w", sanitize(err))
		}
		ask := s.ecrToken
		if public {
			ask = s.ecrPublicToken
		}
		a, err := ask(ctx, conf)
		if err != nil && ctx.Err() != nil {
			err = inventory.Retryable(fmt.Errorf("no answer within %v", awsWithin))
		}
		if err != nil {
			return answer{}, fmt.Errorf("asking ECR in %s for a token: %w", region, sanitize(err))
		}
		return a, nil
	})
	if err != nil && public && !awsNamed() {
		err = impliedError{err}
	}
	return a, err
}

// awsConfig returns the configuration of the SDK.
//
// The metadata service is used only on EC2: elsewhere it would be a timeout.
func (s *Store) awsConfig(ctx context.Context, region string, fips, onEC2 bool) (aws.Config, error) {
	machine := imds.ClientDisabled
	if onEC2 {
		machine = imds.ClientDefaultEnableState
	}
	options := []func(*config.LoadOptions) error{
		config.WithRegion(region),
		config.WithEC2IMDSClientEnableState(machine),
		config.WithLogger(logging.Nop{}),
	}
	if fips {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if s.ownClient {
		options = append(options, config.WithHTTPClient(s.web))
	}
	return config.LoadDefaultConfig(ctx, options...)
}

// ecrToken returns a token for a region's private registries.
func (s *Store) ecrToken(ctx context.Context, conf aws.Config) (answer, error) {
	out, err := ecr.NewFromConfig(conf).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return answer{}, err
	}
	if len(out.AuthorizationData) == 0 {
		return answer{}, errors.New("the answer holds no token")
	}
	d := out.AuthorizationData[0]
	return s.ecrAnswer(d.AuthorizationToken, d.ExpiresAt)
}

// ecrPublicToken returns a token for the public registry.
func (s *Store) ecrPublicToken(ctx context.Context, conf aws.Config) (answer, error) {
	out, err := ecrpublic.NewFromConfig(conf).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil {
		return answer{}, err
	}
	if out.AuthorizationData == nil {
		return answer{}, errors.New("the answer holds no token")
	}
	return s.ecrAnswer(out.AuthorizationData.AuthorizationToken, out.AuthorizationData.ExpiresAt)
}

// ecrAnswer decodes a token, which is name:password in base64.
func (s *Store) ecrAnswer(token *string, expires *time.Time) (answer, error) {
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	user, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return answer{}, errors.New("the answer's token is not name:password in base64")
	}
	return answer{cred: Credential{Username: user, Password: password, Expires: s.ends(aws.ToTime(expires))}}, nil
}

// awsNamed reports whether the environment names an AWS identity.
func awsNamed() bool {
	return anyEnv("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
}

// awsConfigured reports whether the environment or a file may name an identity.
func awsConfigured() bool {
	if awsNamed() {
		return true
	}
	for variable, name := range map[string]string{
		"AWS_CONFIG_FILE":             "config",
		"AWS_SHARED_CREDENTIALS_FILE": "credentials",
	} {
		file := cmp.Or(os.Getenv(variable), under(under(homeDir(), ".aws"), name))
		if file != "" && exists(file) {
			return true
		}
	}
	return false
}

// onEC2 reports whether the machine's firmware names EC2.
func (s *Store) onEC2() bool {
	return s.madeBy("sys_vendor") == "Amazon EC2" || strings.Contains(s.madeBy("bios_version"), "amazon")
}
