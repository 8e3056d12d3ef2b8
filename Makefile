# make help lists the targets.
SHELL := bash
.DEFAULT_GOAL := help

# Pinned: the same findings on every machine. Built once for each version, into the user's cache.
GOLANGCI_LINT_VERSION := v2.15.0
VALE_VERSION := v3.22.0

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/sojourn
GOLANGCI_LINT := $(CACHE)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
VALE := $(CACHE)/vale-$(VALE_VERSION)/vale
IMAGES := conformance/containers/images

# Servers that make test makes images ready for; empty: all of $(IMAGES)/images.txt.
SERVERS ?=
# Random sequences for each setting that make test-random runs.
SEQUENCES ?= 10000
# Packages to test, and further flags for go test. No cached results: servers are no part of the cache's key.
PKGS ?= ./backends/s3 ./backends/elasticsearch ./... # the longest first
TESTFLAGS ?= -count=1 -timeout=40m
# Folders of the further modules. They are tested if PKGS names no packages.
MODULES := $(patsubst %/go.mod,%,$(shell git ls-files '*/go.mod'))
NESTED := $(if $(filter ./...,$(PKGS)),$(MODULES))
comma := ,
space := $(subst ,, )
# Files and folders that make prose checks.
PROSE ?= .

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: images ## Run all tests with the race detector, on real servers where there are any
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	go run ./internal/tools/testrun -modules=$(subst $(space),$(comma),$(strip $(NESTED))) $(TESTFLAGS) $(PKGS)

.PHONY: table
table: images ## Run the suites on every backend and write the README's table of what ran
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	CI=true go run ./internal/tools/testrun $(TESTFLAGS) -run='Conformance|Sessions' -table=README.md ./backends/...

.PHONY: test-local
test-local: ## Run the tests that need no server: no engine, no network
	@go run ./internal/tools/testrun $(TESTFLAGS) \
		$$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | \
			awk '!/conformance\/containers/ { print $$1 }')

# A server that cannot be had is the tests' to judge: under CI they fail, else they are skipped with the reason.
.PHONY: images
images: ## Find or start a container engine and make the servers' images ready
	@$(IMAGES)/ensure.sh $(SERVERS) || echo "images: not all are there: the tests that need the others will say so"

.PHONY: engine
engine: ## Find or start a container engine
	@$(IMAGES)/engine.sh start

.PHONY: test-second
test-second: ## Run the suites on second opinions: other servers and versions that speak the same protocol
	@$(IMAGES)/ensure.sh mongodb-second s3-second redis-second valkey-second
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	go test -count=1 -shuffle=on -timeout=20m -tags second -run Second ./backends/mongo ./backends/s3 ./backends/redis ./conformance/containers

.PHONY: test-random
test-random: ## Run SEQUENCES random sequences of sessions, browsers and networks, in memory and on Redis
	@$(IMAGES)/ensure.sh redis
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	go test -count=1 -timeout=120m -tags random -run RandomSequences ./conformance/sessions ./backends/redis -rapid.checks=$(SEQUENCES) -rapid.nofailfile

.PHONY: bench
bench: images ## Measure every operation beside its floor, in one run: ratios, with their quartiles
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	go test -run '^$$' -bench Floor -benchtime=1x -p 1 -timeout 60m $(PKGS)

.PHONY: lint
lint: $(GOLANGCI_LINT) verify prose ## Check what verify and prose check, formatting, golangci-lint with go vet, go.mod; shellcheck if installed
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "make tidy formats:"; echo "$$unformatted"; exit 1; fi
	$(GOLANGCI_LINT) run
	@for module in $(MODULES); do \
		echo "$$module: golangci-lint"; (cd "$$module" && $(GOLANGCI_LINT) run && go mod tidy -diff) || exit 1; \
	done
	go mod tidy -diff
	@if command -v shellcheck >/dev/null; then \
		echo shellcheck; shellcheck -x -P SCRIPTDIR .ci/run .vale/*.sh $(IMAGES)/*.sh; \
	else echo "shellcheck is not installed: shell scripts are not checked"; fi

.PHONY: prose
prose: $(VALE) ## Check comments, pages and error texts for plain English; PROSE=./model for one folder
	@.vale/selftest.sh $(VALE)
	@.vale/run.sh $(VALE) $(PROSE)

$(GOLANGCI_LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION), once: some minutes"
	@GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(VALE):
	@echo "building vale $(VALE_VERSION), once: some minutes"
	@mkdir -p $(@D) # its C and C++ parts warn a lot: the output matters only after a failure
	@GOBIN=$(@D) go install github.com/vale-cli/vale/v3/cmd/vale@$(VALE_VERSION) 2>$(@D)/build.log || { cat $(@D)/build.log; exit 1; }

.PHONY: generate
generate: ## Rewrite what is generated from comments and code
	go run ./internal/tools/generate

.PHONY: verify
verify: ## Fail if something generated is stale or a decision lacks its status; changes nothing
	go run ./internal/tools/generate -check
	go test -run=TestDecisionsHaveAStatus ./internal/tests/arch

.PHONY: tidy
tidy: ## Format the code and tidy every go.mod
	gofmt -w .
	for module in . $(MODULES); do (cd "$$module" && go mod tidy) || exit 1; done

.PHONY: clean
clean: ## Remove test containers and the cache, stop the engine if it was started from here
	@$(IMAGES)/engine.sh reap
	@$(IMAGES)/engine.sh stop
	rm -rf "$(CACHE)"
