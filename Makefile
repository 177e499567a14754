# The targets are listed by `make help`. All of them need Go, make and git; the
# tools they use are built from tools/ into .tools/ when that is out of date.

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VERSION ?= $(shell cat VERSION)
# The commit's own time, not the clock's, so that one commit builds to one binary.
COMMIT  ?= $(shell git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null)
DATE    ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
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

.PHONY: clean
clean: ## Remove what the other targets built
	rm -rf bin .tools

# The tools are modules of their own, so that neither the project nor the tools
# choose each other's dependencies.
$(REGISTRY): tools/registry/main.go tools/registry/go.mod tools/registry/go.sum
	cd tools/registry && $(STATIC) go build -ldflags '-s -w' -o '$@' .
	touch '$@'

$(LINT): tools/lint/go.mod tools/lint/go.sum
	cd tools/lint && $(STATIC) go build -ldflags '-s -w' -o '$@' \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	touch '$@'
