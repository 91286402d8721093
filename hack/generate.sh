#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes what is generated from the Go types of the APIs that the operator serves: deepcopy
# functions, CRDs, and the copy of the CRDs that the operator's chart carries;
# from the descriptors of istio.io/api: the CRDs of the Istio APIs; from the tables
# of internal/projection: what docs/traffic.md says of each field; from the operator's
# chart: config/rbac, config/manager, bundle and config/olm.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=(go tool -modfile=hack/tools/go.mod controller-gen)

"${tool[@]}" object:headerFile=hack/boilerplate.go.txt paths=./api/...
"${tool[@]}" crd:maxDescLen=300 paths=./api/... output:crd:artifacts:config=config/crd/bases

mkdir -p charts/operator/files/crds
rm -f charts/operator/files/crds/*.yaml
cp config/crd/bases/operator.meshwright.dev_*.yaml config/crd/bases/install.istio.io_*.yaml charts/operator/files/crds/

go run ./hack/crdgen charts/base/files/crds
go run ./hack/manifests
go run ./hack/bundle
go run ./hack/fields
