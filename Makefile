# The targets are listed by `make help`. All of them need Go, make and git; the
# tools they use are built from tools/ into .tools/ when that is out of date.

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VERSION ?= $(shell cat VERSION)
# The commit's own time, not the clock's, so that one commit builds to one binary.
COMMIT  ?= $(shell git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null)
DATE    ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
GOROOT   = $(shell go env GOROOT)
MODULE  := sigs.k8s.io/k8s-container-image-promoter
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# What is built to be run later: static, without machine paths. The linter shares
# these settings, and with them the compiled dependencies.
STATIC := CGO_ENABLED=0 GOFLAGS='$(strip $(GOFLAGS) -trimpath -buildvcs=false)'

# The race detector needs cgo, which go turns off where there is no C compiler.
RACE      ?= $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
TIMEOUT   ?= 10m
TESTFLAGS ?=
GOTEST     = $(if $(RACE),,$(warning testing without the race detector))go test $(RACE) -timeout $(TIMEOUT) $(TESTFLAGS)

TOOLS    := $(CURDIR)/.tools
REGISTRY := $(TOOLS)/registry
LINT     := $(TOOLS)/golangci-lint
KO       := $(TOOLS)/ko
LICENSES := $(TOOLS)/go-licenses
RELEASER := $(TOOLS)/goreleaser

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Build bin/cip and bin/cip-auditor
	$(STATIC) go build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: install
install: ## Install cip and cip-auditor where `go install` puts commands
	$(STATIC) go install -ldflags '$(LDFLAGS)' ./cmd/...

.PHONY: test
test: $(REGISTRY) ## Run all tests: unit, in-process and end-to-end
	CIP_TEST_REGISTRY='$(REGISTRY)' $(GOTEST) ./...
	cd tools/bench && $(GOTEST) ./...
	cd tools/kubernetes && go test ./...

.PHONY: test-unit
test-unit: ## Run all tests but the end-to-end ones
	$(GOTEST) $$(go list ./... | grep -v '/test-e2e')

.PHONY: test-e2e
test-e2e: $(REGISTRY) ## Run the end-to-end tests
	CIP_TEST_REGISTRY='$(REGISTRY)' $(GOTEST) ./test-e2e/...

# BENCH=noop,two measures these scenarios alone; BENCHFLAGS are in docs/benchmarks.md.
BENCH      ?=
BENCHFLAGS ?=

.PHONY: bench
bench: ## Run the benchmarks: Go's, then whole runs next to other tools
	$(if $(BENCH),,go test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...)
	go -C tools/bench build -o '$(TOOLS)/bench' .
	'$(TOOLS)/bench' -run '$(BENCH)' $(BENCHFLAGS)

# Each target a minute: FUZZTIME=10m make soak for longer.
FUZZTIME ?= 1m

.PHONY: soak
soak: $(REGISTRY) ## Kill 200 promotions, try 3,000 odd ones, and fuzz every parser for a minute each
	CIP_TEST_REGISTRY='$(REGISTRY)' CIP_TEST_KILLS=200 $(GOTEST) -count=1 -run 'TestKill|TestFaults|TestInterrupt' ./test-e2e
	CIP_TEST_MIX=1-3000 $(GOTEST) -count=1 -run TestMix ./pkg/promote
	@grep -rl --include='*_test.go' '^func Fuzz' cmd internal pkg | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(cat $$dir/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p'); do \
			echo "fuzzing $$target in $$dir"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzzminimizetime=1x -fuzztime $(FUZZTIME) ./$$dir || exit 1; \
		done; \
	done

.PHONY: lint
lint: $(LINT) ## Run the linters
	$(STATIC) '$(LINT)' run ./...

.PHONY: fmt
fmt: $(LINT) ## Format the code and sort its imports
	'$(LINT)' fmt ./...

.PHONY: tidy
tidy: ## Bring go.mod and go.sum up to date
	go mod tidy

.PHONY: demo
demo: build ## Promote the example images between registries on loopback
	./bin/cip demo

.PHONY: images
images: build ## Make the pictures in docs/images again (needs Chromium)
	cd tools/images && go build -o '$(TOOLS)/images' .
	'$(TOOLS)/images'

# The reference pages of the commands; what is in docs/cli is committed.
DOCS = go -C tools/docs run .

.PHONY: cli-docs
cli-docs: ## Make docs/cli again: a page for each command
	$(DOCS) markdown ../../docs/cli

.PHONY: man completions
man: ## Write man pages to bin/man
	$(DOCS) man ../../bin/man
completions: ## Write completions of shells to bin/completions
	$(DOCS) completions ../../bin/completions

# The images of cip and cip-auditor: into IMAGE_REPO, or into an OCI layout where that
# is empty. KO_DEFAULTBASEIMAGE chooses another base, and IMAGE_REFS is a file for the
# references of what was pushed. The tag has the commit's date.
IMAGE_REPO      ?=
IMAGE_TAG       ?= $(shell TZ=UTC git log -1 --date=format-local:%Y%m%d --format=%cd)-$(shell git describe --tags --always --dirty)
IMAGE_PLATFORMS ?= linux/amd64,linux/arm64,linux/s390x,linux/ppc64le
IMAGE_LAYOUT    ?= bin/image
IMAGE_REFS      ?=

.PHONY: image
image: $(KO) ## Build the container images, with SBOMs, and push them to IMAGE_REPO
	$(if $(IMAGE_REPO),,rm -rf '$(IMAGE_LAYOUT)' '$(IMAGE_LAYOUT)-sbom')
	VERSION='$(VERSION)' COMMIT='$(COMMIT)' DATE='$(DATE)' SOURCE_DATE_EPOCH='$(shell git log -1 --format=%ct)' \
	KO_DOCKER_REPO='$(or $(IMAGE_REPO),ko.invalid)' '$(KO)' build --base-import-paths --tags '$(IMAGE_TAG)' --platform '$(IMAGE_PLATFORMS)' \
		$(if $(IMAGE_REFS),--image-refs '$(IMAGE_REFS)') --image-label 'org.opencontainers.image.version=$(VERSION),org.opencontainers.image.revision=$(COMMIT),org.opencontainers.image.licenses=Apache-2.0' \
		$(if $(IMAGE_REPO),,--push=false --oci-layout-path '$(IMAGE_LAYOUT)' --sbom-dir '$(IMAGE_LAYOUT)-sbom') ./cmd/cip ./cmd/cip-auditor

# The LICENSE files of these modules are the short notice of Apache-2.0, which
# go-licenses does not recognize. The page lists them, and releases contain the notices.
APACHE_NOTICES := github.com/cyberphone/json-canonicalization github.com/in-toto/attestation github.com/in-toto/in-toto-golang
LICENSED        = GOROOT='$(GOROOT)' '$(LICENSES)' $(1) --ignore $(MODULE) $(APACHE_NOTICES:%=--ignore %)

# A license of these kinds does not allow what a release does.
.PHONY: licenses
licenses: $(LICENSES) ## Check the licenses of all modules, and write docs/licenses.md
	for m in $(APACHE_NOTICES); do grep -q 'Licensed under the Apache License, Version 2.0' "$$(go list -m -f '{{.Dir}}' $$m)/LICENSE" || exit 1; done
	$(call LICENSED,check) --disallowed_types=forbidden,restricted,unknown ./cmd/...
	$(call LICENSED,report) --template hack/licenses.tpl ./cmd/... 2>/dev/null >docs/licenses.md
	go list -m -f '| {{.Path}} | {{.Version}} | Apache-2.0 |' $(APACHE_NOTICES) >>docs/licenses.md

.PHONY: license-texts
license-texts: $(LICENSES) ## Write the licenses of all modules to bin/licenses
	rm -rf bin/licenses
	$(call LICENSED,save) --save_path bin/licenses ./cmd/... 2>/dev/null
	for m in $(APACHE_NOTICES); do mkdir -p bin/licenses/$$m && cp "$$(go list -m -f '{{.Dir}}' $$m)"/LICENSE bin/licenses/$$m/ || exit 1; done

.PHONY: release-check release-snapshot release
release-check: $(RELEASER) ## Validate .goreleaser.yaml
	'$(RELEASER)' check
release-snapshot: $(RELEASER) ## Build a release for this platform into dist/, without publishing it
	'$(RELEASER)' build --snapshot --single-target --clean
release: $(RELEASER) ## Publish a release; run by the release workflow
	'$(RELEASER)' release --clean

.PHONY: test-image
test-image: $(REGISTRY) $(KO) ## Build the images on loopback and promote them with cip
	CIP_TEST_REGISTRY='$(REGISTRY)' CIP_TEST_KO='$(KO)' go test -count=1 -timeout $(TIMEOUT) -run TestImagesPromoteThemselves ./test-e2e

.PHONY: clean
clean: ## Remove what the other targets built
	rm -rf bin dist .tools

# The tools are modules of their own, so that neither the project nor the tools
# choose each other's dependencies.
$(REGISTRY): tools/registry/main.go tools/registry/go.mod tools/registry/go.sum
	cd tools/registry && $(STATIC) go build -ldflags '-s -w' -o '$@' .
	touch '$@'

$(LINT): tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && $(STATIC) go build -ldflags '-s -w' -o '$@' \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	touch '$@'

$(KO): tools/ko/go.mod tools/ko/go.sum
	cd tools/ko && $(STATIC) go build -ldflags '-s -w' -o '$@' github.com/google/ko
	touch '$@'

$(LICENSES): tools/licenses/go.mod tools/licenses/go.sum
	cd tools/licenses && $(STATIC) go build -ldflags '-s -w' -o '$@' github.com/google/go-licenses/v2
	touch '$@'

$(RELEASER): tools/goreleaser/go.mod tools/goreleaser/go.sum
	cd tools/goreleaser && $(STATIC) go build -ldflags '-s -w' -o '$@' github.com/goreleaser/goreleaser/v2
	touch '$@'
