# Every step of continuous integration is a target here; nothing else is called.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

BIN := $(CURDIR)/.cache/tools/bin
SEEDS ?= 300
FUZZTIME ?= 10s
BENCHTIME ?= 1s
FOR ?= 10m
SEED ?=

.PHONY: build test race sim fuzz lint e2e e2e-walls terraform terraform-live terraform-schema hostile scale scale-sim compatibility soak bench bench-short bench-compare bench-micro bench-throttle gen gen-check

build: ## the isthmus binary
	go build -o isthmus ./cmd/isthmus

test: ## every test that needs Go alone
	go test ./...

race: ## the packages with goroutines, under the race detector
	go test -race ./internal/wire/... ./internal/broker/... ./internal/objstore/... ./internal/cow/... \
		./control/... ./produce/... ./fetch/... ./agentgroup/... ./cmd/...

sim: ## seeded simulation of control plane, agents, network and bucket, and its mutants: make sim SEEDS=n
	go run ./internal/sim/simulate -seeds $(SEEDS)

fuzz: ## every fuzz target for FUZZTIME each; what they find interesting is kept in .cache/fuzz
	scripts/fuzz.sh $(FUZZTIME)

lint: gen-check ## shape, style and the currency of generated code
	scripts/tools.sh lint
	$(BIN)/golangci-lint run --allow-serial-runners ./...
	go mod verify
	go mod tidy -diff

gen: ## generated code
	scripts/tools.sh gen
	PATH="$(BIN):$$PATH" buf lint
	PATH="$(BIN):$$PATH" buf generate

gen-check: gen
	@if [ -n "$$(git status --porcelain -- control/controlpb)" ]; then \
		git --no-pager diff -- control/controlpb; echo "generated code is not current: commit what make gen wrote"; exit 1; fi

terraform: build ## modules and examples, without a registry or an account: formatted, valid, tested, equal to iam/policy
	scripts/terraform.sh test

terraform-live: ## the plan of a folder that calls the modules, against a real account: make terraform-live ISTHMUS_TERRAFORM_DIR=...
	scripts/terraform.sh live

terraform-schema: ## the facts of the provider's schema anew, from the published package
	scripts/terraform.sh schema

e2e: build ## real programs; installs what it needs and fails when it cannot
	scripts/walls.sh
	scripts/e2e.sh

e2e-walls: build ## the proof between two accounts, in network namespaces, with the thief's table. Root
	scripts/walls.sh

hostile: build ## what honest clients keep beside each attack, one by one and all at once, as a table
	ISTHMUS_BIN=$(CURDIR)/isthmus ISTHMUS_HOSTILE=each go test -tags e2e -count=1 -timeout 20m -v -run 'TestHostileCrowd$$' ./internal/e2e | grep -v '^=== '

scale-sim: ## clusters of 2 to 1,000 agents in virtual time, as a table: what bends first
	go run ./internal/scale/simulate

scale: build ## what thousands of partitions and connections cost one agent of each role, as a table
	ISTHMUS_BIN=$(CURDIR)/isthmus go test -tags e2e -count=1 -timeout 10m -v -run 'TestScale$$' ./internal/e2e | grep -v '^=== '

compatibility: build ## e2e, writing docs/compatibility.md instead of comparing it: make compatibility RUN=TestClients/java
	ISTHMUS_COMPATIBILITY=write scripts/e2e.sh $(if $(RUN),-run '$(RUN)')

soak: build ## faults under load in a cluster of processes: make soak FOR=2m SEED=7
	scripts/soak.sh -for $(FOR) $(if $(SEED),-seed $(SEED))

bench-throttle: build ## a share whose bucket throttles, and another, as docs/architecture/data/throttle.svg
	go run ./bench throttle

bench: build ## isthmus beside Apache Kafka, in 25 minutes of a machine that does nothing else: bench/results, docs/performance.md
	scripts/kafka.sh install
	go run ./bench run --profiles bench/results/profiles --page docs/performance.md --run '$(or $(RUN),^(produce|tail|cold|idle|memory|latency|calls|sequencer|apart))'

bench-short: build ## every case of make bench but those that take long, for seconds: that it runs, and that nothing is lost or out of order
	scripts/kafka.sh install
	go run ./bench run --short --out '' --run '$(or $(RUN),^(produce-large|produce-16k|produce-100b|produce-s3-tls|tail-|cold-|latency-default|calls-default|idle|memory|sequencer|apart-file))'

bench-compare: ## the ratios of two results, with a test of significance: make bench-compare OLD=a.json NEW=b.json
	go run ./bench compare $(OLD) $(NEW)

bench-micro: ## micro-benchmarks of the data path and the sequencer, as a table
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) ./internal/record ./internal/segment ./control ./produce ./fetch
