package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeAWS serves ECR, ECR Public and the metadata service of a machine.
type fakeAWS struct {
	server *httptest.Server
	mu     sync.Mutex
	asked  []string // requests: key, region and service, or the path in the metadata service
	refuse bool
}

func newFakeAWS(t *testing.T) *fakeAWS {
	t.Helper()
	f := &fakeAWS{}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	t.Setenv("AWS_ENDPOINT_URL", f.server.URL)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f.server.URL)
	return f
}

func (f *fakeAWS) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		who := strings.Split(signed, "/") // key, day, region, service
		f.asked = append(f.asked, strings.Join([]string{who[0], who[2], who[3]}, " "))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if f.refuse {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"UnrecognizedClientException","message":"The security token is invalid."}`)
			return
		}
		data := fmt.Sprintf(`{"authorizationToken":%q,"expiresAt":%d}`, basic("AWS", who[3]+"-"+who[2]), time.Now().Add(12*time.Hour).Unix())
		if who[3] == "ecr" {
			data = "[" + data + "]"
		}
		fmt.Fprintf(w, `{"authorizationData":%s}`, data)
		return
	}
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	switch r.URL.Path {
	case "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		fmt.Fprint(w, "metadata-token")
	case "/latest/meta-data/iam/security-credentials/":
		fmt.Fprint(w, "role")
	case "/latest/meta-data/iam/security-credentials/role":
		fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"MACHINE","SecretAccessKey":"s","Token":"t","Expiration":%q}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestECR(t *testing.T) {
	cleanEnv(t)
	f := newFakeAWS(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "KEY")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
	at := newClock()
	s := testStore(t, Options{HTTPClient: f.server.Client(), Now: at.now})
	for host, want := range map[string]string{
		"111111111111.dkr.ecr.eu-west-1.amazonaws.com":      "ecr-eu-west-1",
		"222222222222.dkr.ecr.eu-west-1.amazonaws.com":      "ecr-eu-west-1",
		"111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn":  "ecr-cn-north-1",
		"111111111111.dkr-ecr.ap-south-1.on.aws":            "ecr-ap-south-1",
		"public.ecr.aws":                                    "ecr-public-us-east-1",
		"111111111111.dkr.ecr.eu-west-1.amazonaws.com.evil": "",
		"evil.com": "",
		"111111111111.dkr.ecr.eu-west-1.amazonaws.com:12345": "",
	} {
		c := find(t, s, host, "a/b", "")
		if want == "" {
			if !c.Anonymous() {
				t.Errorf("%s: got %v, want anonymous", host, c)
			}
			continue
		}
		if c.Username != "AWS" || c.Password != want {
			t.Errorf("%s: got %q and %q, want AWS and %q", host, c.Username, c.Password, want)
		}
		if left := c.Expires.Sub(at.now()); left < 11*time.Hour || left > 12*time.Hour {
			t.Errorf("%s: got a lifetime of %v, want about 12 hours", host, left)
		}
	}
	if len(f.asked) != 4 {
		t.Errorf("got requests %q, want one per region and service", f.asked)
	}
	at.advance(12*time.Hour - 4*time.Minute)
	find(t, s, "public.ecr.aws", "a/b", "")
	if len(f.asked) != 5 {
		t.Errorf("got requests %q, want another one for public.ecr.aws", f.asked)
	}
}

func TestECROnEC2(t *testing.T) {
	cleanEnv(t)
	f := newFakeAWS(t)
	s := testStore(t, Options{HTTPClient: f.server.Client()})
	write(t, s.firmware, "sys_vendor", "Amazon EC2\n")
	if c := find(t, s, "111111111111.dkr.ecr.eu-west-1.amazonaws.com", "a/b", ""); c.Password != "ecr-eu-west-1" {
		t.Errorf("got password %q, want ecr-eu-west-1", c.Password)
	}
	if last := f.asked[len(f.asked)-1]; last != "MACHINE eu-west-1 ecr" {
		t.Errorf("got a request with %q, want the key of the machine", last)
	}
}

func TestECRRefused(t *testing.T) {
	home := cleanEnv(t)
	f := newFakeAWS(t)
	f.refuse = true
	// Named by a variable, because the SDK looks up the home directory only once.
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE",
		write(t, home, ".aws/credentials", "[default]\naws_access_key_id = KEY\naws_secret_access_key = planted-secret\n"))
	w := &warnings{}
	s := testStore(t, Options{HTTPClient: f.server.Client(), Warn: w.add})
	const host = "111111111111.dkr.ecr.eu-west-1.amazonaws.com"
	_, err := s.Credential(t.Context(), s.Principal(host, "a/b", ""))
	for _, want := range []string{"finding credentials for " + host, "using the AWS identity", "The security token is invalid."} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if c := find(t, s, "public.ecr.aws", "a/b", ""); !c.Anonymous() || !strings.Contains(w.all(), "passing over this machine's AWS identity") {
		t.Errorf("got %v and warnings %q, want anonymous for the public registry, with a warning", c, w.all())
	}
}

func TestAWSConfigured(t *testing.T) {
	home := cleanEnv(t)
	if awsConfigured() {
		t.Error("got true without any configuration, want false")
	}
	write(t, home, ".aws/config", "[default]\n")
	if !awsConfigured() || awsNamed() {
		t.Errorf("with a file: got configured %t and named %t, want true and false", awsConfigured(), awsNamed())
	}
}

func TestECRHosts(t *testing.T) {
	for host, want := range map[string]string{
		"111111111111.dkr.ecr.eu-west-1.amazonaws.com":      "eu-west-1",
		"111111111111.dkr.ecr-fips.us-east-2.amazonaws.com": "us-east-2 fips",
		"111111111111.dkr.ecr.eusc-de-east-1.amazonaws.eu":  "eusc-de-east-1",
		"dkr.ecr.eu-west-1.amazonaws.com":                   "",
		"1.dkr.ecr.eu-west-1.amazonaws.com":                 "",
	} {
		got := ""
		if m := ecrHost.FindStringSubmatch(host); m != nil {
			got = m[2]
			if m[1] != "" {
				got += " fips"
			}
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}
