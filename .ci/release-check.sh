#!/usr/bin/env bash
# Builds and checks all that a release of VERSION needs. It changes nothing and tags nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-}
failed=()
step() {
	printf '\n== %s\n' "$*"
}
must() { # must WHAT COMMAND…: all checks run, and the failed ones are named at the end
	step "$1"
	"${@:2}" || failed+=("$1")
}

clean() {
	[ -z "$(git status --porcelain)" ] || {
		echo "the work tree has changes that are not committed:"
		git status --short
		return 1
	}
}
# A module with a replacement, or one that was never released, builds elsewhere as something else.
plain() {
	! grep -E '^[[:space:]]*(replace|exclude)\b' go.mod
}
complete() {
	local file missing=0
	for file in LICENSE README.md CHANGELOG.md SECURITY.md CONTRIBUTING.md docs/releases.md; do
		[ -s "$file" ] || { echo "$file is missing" && missing=1; }
	done
	return $missing
}

must "the work tree is clean" clean
must "go.mod replaces and excludes nothing" plain
must "the pages that a release has" complete
must "go build" go build ./...
must "go vet" go vet ./...
must "go vet with the tests of several nodes, of second servers and of random sequences" go vet -tags topology,second,random ./...
must "the other systems" make --no-print-directory vet-systems
must "go.mod is tidy" go mod tidy -diff
must "the modules are what go.sum says" go mod verify
must "what is generated is not stale" make --no-print-directory verify
must "the pages link to what is there" make --no-print-directory docs
must "the public API" .ci/api.sh
if [ -n "$version" ]; then
	must "the text of the release" .ci/release-notes.sh "$version"
else
	step "no VERSION: the text of the release is not checked"
fi

echo
if [ ${#failed[@]} -gt 0 ]; then
	printf 'release-check: failed: %s\n' "${failed[@]}"
	exit 1
fi
echo "release-check: all is there${version:+ for $version}"
