# `make help` lists the targets. Nothing here needs more than Go and, on Debian, root for what is missing.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Go's own installer puts it here, which is not in everybody's PATH, and never in sudo's.
export PATH := $(PATH):/usr/local/go/bin

GO      ?= go
PREFIX  ?= /usr/local
BIN     := .cache/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

# What a test may take before it counts as hung, and which packages are tested: make test PKG=./graph/...
PKG     ?= ./...
TIMEOUT ?= 15m
ARGS    ?=

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: build ## build, then start everything in one process on 127.0.0.1:8082 (ARGS=... go to weft allinone)
	@exec bin/weft allinone $(ARGS)

.PHONY: build
build: ## bin/weft, one static file
	@tools/prerequisites build
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weft ./cmd/weft

.PHONY: install
install: build ## copy bin/weft to $(PREFIX)/bin, with the link skydive-ws-client
	@install -D -m 0755 bin/weft '$(DESTDIR)$(PREFIX)/bin/weft'
	@ln -sf weft '$(DESTDIR)$(PREFIX)/bin/skydive-ws-client'
	@echo 'installed $(DESTDIR)$(PREFIX)/bin/weft and skydive-ws-client'

.PHONY: test
test: $(BIN)/gotestsum ## all tests with the race detector, and a build without cgo (PKG=./graph/... for a part)
	@tools/prerequisites test
	@CGO_ENABLED=0 $(GO) build ./...
	@CGO_ENABLED=1 $(BIN)/gotestsum --format pkgname --hide-summary=skipped -- -race -timeout $(TIMEOUT) $(PKG)

.PHONY: soak
soak: ## the tests that are too long for CI: WEFT_SOAK=1 raises their rounds
	@tools/prerequisites test
	@WEFT_SOAK=1 CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 6h $(PKG)

.PHONY: check
check: $(BIN)/golangci-lint $(BIN)/gofumpt $(BIN)/deadcode ## format, vet, lint, dead code, scripts, go.mod and generated files
	@tools/prerequisites check
	@tools/check

.PHONY: fmt
fmt: $(BIN)/gofumpt ## format the Go files
	@tools/go-files | xargs -r -d '\n' $(BIN)/gofumpt -l -w

.PHONY: generate
generate: ## make the generated files again
	@$(GO) generate ./...

.PHONY: bench
bench: build ## the benchmark table, kept under bench/results (ARGS=-short for a quick look)
	@cd bench && $(GO) run . -weft ../bin/weft $(ARGS)

.PHONY: clean
clean: ## remove what was built and fetched
	@rm -rf bin .cache coverage.out

# The tools' versions are pinned in tools/go.mod; a binary is built again when that file changes.
tool-golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
tool-gofumpt       := mvdan.cc/gofumpt
tool-gotestsum     := gotest.tools/gotestsum
tool-deadcode      := golang.org/x/tools/cmd/deadcode
tool-benchstat     := golang.org/x/perf/cmd/benchstat

$(BIN)/%: tools/go.mod tools/go.sum
	@tools/prerequisites build
	@echo 'building $* (once)' >&2
	@mkdir -p $(BIN)
	@cd tools && CGO_ENABLED=0 $(GO) build -o '$(CURDIR)/$@' $(tool-$*)
	@touch '$@'
