#!/usr/bin/env bash
# release-modules.sh: makes further modules require VERSION of those in this repository, instead of replacing
# them by the folders. MODULE is the folder of one; empty: all adapters and backends, but not the command line,
# which needs their tags. It changes go.mod and go.sum, and needs the network for the tags.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-} module=${MODULE:-}
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
	printf 'release-modules: VERSION is %s, want a version such as 0.1.0\n' "${version:-not set}" >&2
	exit 2
fi
root=$(sed -n 's/^module //p' go.mod)
changed=0
while read -r file; do
	edits=()
	while read -r name; do
		edits+=("-dropreplace=$name" "-require=$name@v$version")
	done < <(sed -En "s|^(replace)?[[:space:]]*(${root}[^[:space:]]*) => \.\..*|\2|p" "$file")
	[ ${#edits[@]} -gt 0 ] || continue
	echo "release-modules: ${file%/go.mod} requires v$version"
	(cd "${file%/go.mod}" && go mod edit "${edits[@]}" && go mod tidy)
	changed=$((changed + 1))
done < <(if [ -n "$module" ]; then git ls-files --error-unmatch "$module/go.mod"; else git ls-files 'adapters/*/go.mod' 'backends/*/go.mod'; fi)
if [ $changed = 0 ]; then
	echo "release-modules: no module${module:+ in $module} replaces what is in this repository" >&2
	exit 1
fi
