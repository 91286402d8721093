# SPDX-License-Identifier: Apache-2.0

SHELL := /usr/bin/env bash -o pipefail
.DEFAULT_GOAL := help

CLUSTER ?= east
IMAGE_REGISTRY ?= ghcr.io/meshwright
TAG ?= v0.1.0
SOAK ?= 30m
KILLS ?= 200
export IMAGE_REGISTRY TAG

# One way to compile for everything but the race detector, so that the images,
# the tests and the commands share what is in the build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath
TOOL := go tool -modfile=hack/tools/go.mod
STAGE := hack/stage
TESTED := hack/tested

# The e2e tests use the cluster of KUBECONFIG when it is set, one of their own otherwise.
E2E_CLUSTER ?= e2e
E2E_KUBECONFIG := $(or $(KUBECONFIG),$(CURDIR)/.cluster/$(E2E_CLUSTER)/kubeconfig)

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  variables      CLUSTER=$(CLUSTER) IMAGE_REGISTRY=$(IMAGE_REGISTRY) TAG=$(TAG) SOAK=$(SOAK) KILLS=$(KILLS); KUBECONFIG for a cluster of your own"

.PHONY: build
build: ## Compile every command into bin/
	@mkdir -p bin
	go build -buildvcs=false -ldflags "-s -w -X main.version=$(TAG)" -o bin/ ./cmd/...

.PHONY: test
test: ## Everything: unit, integration and e2e tests; sets up all it needs (root on Debian without KUBECONFIG)
	@$(STAGE) "all tests" $(MAKE) --no-print-directory test-stages

.PHONY: test-stages
test-stages:
	@$(STAGE) "binaries of the local cluster" go run ./test/cluster binaries
	@$(STAGE) "unit tests" $(MAKE) --no-print-directory unit
	@$(STAGE) "integration tests" $(MAKE) --no-print-directory integration
	@$(STAGE) "e2e tests" $(MAKE) --no-print-directory e2e

.PHONY: unit
unit: ## Unit tests with the race detector
	CGO_ENABLED=1 GOFLAGS= $(TESTED) unit go test -race ./...

.PHONY: integration
integration: ## Tests against a real API server and etcd
	$(TESTED) integration go test -tags=integration -timeout=20m $$(hack/tagged integration api charts cmd config controllers internal test)

# The cluster of the e2e tests, with all images that they need.
.PHONY: e2e-cluster
e2e-cluster:
ifeq ($(KUBECONFIG),)
	@$(STAGE) "cluster $(E2E_CLUSTER)" $(MAKE) --no-print-directory cluster-up CLUSTER=$(E2E_CLUSTER)
	@$(STAGE) "images" $(MAKE) --no-print-directory images
	@$(STAGE) "images to upgrade to" go run ./hack/images build --tag=$(TAG)-next --output=dist/images/next controlplane proxy
	@$(STAGE) "images into the cluster" go run ./test/cluster load-image $(E2E_CLUSTER) dist/images/*.tar dist/images/next/*.tar
else
	@$(STAGE) "images to $(IMAGE_REGISTRY)" $(MAKE) --no-print-directory push
	@$(STAGE) "images to upgrade to" go run ./hack/images push --tag=$(TAG)-next controlplane proxy
endif

.PHONY: e2e
e2e: ## Tests with the real Envoy on a real cluster, its own unless KUBECONFIG is set
	@$(STAGE) "e2e tests beside the code" $(TESTED) e2e-beside go test -tags=e2e -timeout=20m -p=1 $$(hack/tagged e2e cmd hack internal test/cluster)
	@$(MAKE) --no-print-directory e2e-cluster
	@$(STAGE) "e2e tests of the mesh" env KUBECONFIG=$(E2E_KUBECONFIG) $(TESTED) e2e go test -tags=e2e -count=1 -timeout=60m -v ./test/e2e
ifeq ($(KUBECONFIG),)
	@$(STAGE) "cluster $(E2E_CLUSTER) down" $(MAKE) --no-print-directory cluster-down CLUSTER=$(E2E_CLUSTER)
endif

.PHONY: gitops
gitops: e2e-cluster ## A mesh that Flux and Argo CD look after from Git, on a cluster as that of e2e; builds both
	@$(STAGE) "the mesh from Git" env KUBECONFIG=$(E2E_KUBECONFIG) $(TESTED) gitops go test -tags=e2e -count=1 -timeout=30m -v ./test/gitops
ifeq ($(KUBECONFIG),)
	@$(STAGE) "cluster $(E2E_CLUSTER) down" $(MAKE) --no-print-directory cluster-down CLUSTER=$(E2E_CLUSTER)
endif

.PHONY: bench
bench: ## Benchmark the control plane with 1,000 services and 200 clients: the table of docs/performance.md
	go run ./test/bench

.PHONY: bench-large
bench-large: ## The rows of the table that need large meshes: some GiB of memory
	go run ./test/bench -large

.PHONY: soak
soak: ## Load with restarts, scaling and rollouts for SOAK on the cluster of KUBECONFIG or of make demo
	KUBECONFIG=$(or $(KUBECONFIG),$(CURDIR)/.cluster/$(CLUSTER)/kubeconfig) SOAK=$(SOAK) go test -tags=soak -count=1 -timeout=0 -v -run=TestSoak ./test/e2e

.PHONY: kills
kills: e2e-cluster ## Kill the operator KILLS times while it installs, upgrades, undoes and removes a mesh on a local cluster
	KUBECONFIG=$(E2E_KUBECONFIG) go test -tags=e2e -count=1 -timeout=0 -v -run=TestKills ./test/e2e -kills=$(KILLS)
	$(MAKE) --no-print-directory cluster-down CLUSTER=$(E2E_CLUSTER)

.PHONY: live
live: ## The long form of tests with real Envoys: 10,000 random edits under 20, 500 changes of routes under load, hosts that go and come 200 times
	go test -tags=integration -count=1 -timeout=60m -v -run='TestEdits|TestFlips|TestReopen|TestReappear' ./test/live -edits=10000 -proxies=20 -flips=500 -reopened=200

.PHONY: lint
lint: ## Check style, imports and file lengths
	$(TOOL) golangci-lint run

.PHONY: generate
generate: ## Write what is generated: deepcopy functions, CRDs, manifests
	hack/generate.sh

.PHONY: gen-check
gen-check: ## Fail when generated files are not up to date
	@hack/gen-check.sh

.PHONY: images
images: ## Build the container images into dist/images
	go run ./hack/images build

.PHONY: push
push: ## Build the container images and push them to IMAGE_REGISTRY
	go run ./hack/images push

.PHONY: bundle
bundle: images ## Write the OLM bundle and catalog with the images' digests into dist/olm
	go run ./hack/bundle -into dist/olm -digests dist/images -images -registry $(IMAGE_REGISTRY) -tag $(TAG)

.PHONY: push-bundle
push-bundle: push bundle ## Push the images, the OLM bundle and its catalog to IMAGE_REGISTRY
	go run ./hack/bundle -into dist/olm -digests dist/images -push -registry $(IMAGE_REGISTRY) -tag $(TAG)

.PHONY: demo
demo: ## A working mesh with an application: on a local cluster, or on that of KUBECONFIG
	@go run ./test/demo up --cluster $(CLUSTER)

.PHONY: demo-down
demo-down: ## Remove what demo set up
	@go run ./test/demo down --cluster $(CLUSTER)

.PHONY: cluster-up
cluster-up: ## Start the local cluster CLUSTER (root on Debian) and print its kubeconfig's path
	@go run ./test/cluster up $(CLUSTER)

.PHONY: cluster-down
cluster-down: ## Stop the local cluster CLUSTER and remove what it left
	@go run ./test/cluster down $(CLUSTER)
