#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails when a generated file is not what its generator writes, and names it. The
# generators run on a copy, so the working tree stays as it is, commits or none.
set -euo pipefail
cd "$(dirname "$0")/.."

# What hack/generate.sh writes.
generated=(api config/crd config/rbac config/manager config/olm bundle charts/base/files charts/operator/files docs/traffic.md)

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# Files that git ignores have no part in it, and may be large.
git ls-files -z --cached --others --exclude-standard |
	while IFS= read -r -d '' file; do
		if [ -e "$file" ]; then printf '%s\0' "$file"; fi
	done | tar --null --files-from=- -cf - | tar -xf - -C "$copy"

"$copy/hack/generate.sh"

stale=0
for dir in "${generated[@]}"; do
	diff -ruN "$dir" "$copy/$dir" || stale=1
done
if [ "$stale" -ne 0 ]; then
	echo "gen-check: the files above are stale: run make generate and commit what it writes" >&2
	exit 1
fi
echo "gen-check: every generated file is current"
