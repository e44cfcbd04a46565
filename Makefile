# Everything that people and CI call. `make` alone lists it.

GO      ?= go
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
OPS     := github.com/tailrace/tailrace/internal/ops
LDFLAGS := -s -w -X $(OPS).Version=$(VERSION) -X $(OPS).Commit=$(COMMIT)

# Static binaries that are the same wherever they are built.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

# The folders that have microbenchmarks.
BENCHED = $$(grep -rl --exclude-dir=.cache --include='*_test.go' '^func Benchmark' . | xargs -n 1 dirname | sort -u)

# Arguments of the demo: make demo ARGS='--check --seed 7'
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help build cross demo test fuzz test-real bench bench-micro lint generate

help: ## Lists the targets
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

build: ## Builds bin/relay and bin/processor, static
	$(BUILD) -o bin/ ./cmd/relay ./cmd/processor

cross: ## Builds both binaries for macOS and Windows, and throws them away
	GOOS=darwin $(BUILD) -o /dev/null ./cmd/relay
	GOOS=darwin $(BUILD) -o /dev/null ./cmd/processor
	GOOS=windows $(BUILD) -o /dev/null ./cmd/relay
	GOOS=windows $(BUILD) -o /dev/null ./cmd/processor

# Standard output is the demo's alone: scripts read it.
demo: ## Shows it at work, with embedded services; ARGS=--check kills and proves, ARGS=--services starts the services only, ARGS=--help says more
	@$(BUILD) -o bin/ ./cmd/relay ./cmd/processor ./cmd/demo >&2
	@exec bin/demo $(ARGS)

test: ## Runs all tests that need nothing but Go, a C compiler and the network
	$(GO) test -race -timeout 25m ./...
	$(GO) test -race -run '^$$' -bench . -benchtime 1x $(BENCHED)

fuzz: ## Feeds the decoder of the replication stream with hostile input; TIME=20s
	$(GO) test ./cdc/pgoutput -run '^$$' -fuzz FuzzDecode -fuzztime $(or $(TIME),20s)

test-real: ## The same promises against Apache Kafka, a real registry and PostgreSQL 14 to 18; needs Java 21 and Maven; ARGS=--help says more
	$(BUILD) -o bin/ ./cmd/relay ./cmd/processor ./cmd/demo ./test/real
	@exec bin/real $(ARGS)

bench: ## Measures it beside pg_recvlogical, Debezium and the server alone; Linux, Java 21, Maven; ARGS='--only stream --rows 100000', ARGS=--help says more
	@$(BUILD) $(if $(PROFILE),-overlay bench/profile/overlay.json) -o bin/ ./cmd/relay ./cmd/processor ./bench >&2
	@exec bin/bench $(ARGS)

bench-micro: ## Runs the microbenchmarks and compares them with the last release's, bench/baseline.txt
	@mkdir -p .cache/bench
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 0.3s -count 6 $(BENCHED) > .cache/bench/micro.txt || { cat .cache/bench/micro.txt; exit 1; }
	$(GO) tool -modfile=tools.mod benchstat bench/baseline.txt .cache/bench/micro.txt

lint: ## Checks formatting, go vet, go.mod, staticcheck
	@files=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')) && \
	if [ -n "$$files" ]; then echo "not formatted, run gofmt -w on:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) tool -modfile=tools.mod staticcheck ./...

generate: ## Makes generated documents and samples again
	$(GO) generate ./...
