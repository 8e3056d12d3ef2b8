#!/usr/bin/env bash
# Builds and checks all that a release of VERSION needs. It changes nothing and tags nothing.
# MODULE is the folder of a further module whose release it is; empty: that of the root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-} module=${MODULE:-}
failed=()
folders=(.)
while read -r file; do folders+=("${file%/go.mod}"); done < <(git ls-files '*/go.mod')
if [ -n "$module" ]; then
	# What is internal, and examples, are never released.
	if [[ ! $module =~ ^(adapters|backends|cmd)/ || " ${folders[*]} " != *" $module "* ]]; then
		echo "release-check: MODULE is $module, want one of: $(printf '%s\n' "${folders[@]}" | grep -E '^(adapters|backends|cmd)/' | xargs)" >&2
		exit 2
	fi
	folders=("$module")
fi
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
each() { # each COMMAND…: in the folder of each module
	local folder bad=0
	for folder in "${folders[@]}"; do
		[ ${#folders[@]} = 1 ] || echo "$folder:"
		(cd "$folder" && "$@") || bad=1
	done
	return $bad
}
# A module with a replacement, or that needs one that was never released, builds elsewhere as something
# else or not at all. Further modules have a replacement until their own release.
plain() {
	! grep -E '^[[:space:]]*(replace|exclude)\b' "${module:-.}/go.mod" &&
		! grep -E '[[:space:]]v0\.0\.0([[:space:]]|$)' "${module:-.}/go.mod"
}
complete() {
	local file missing=0
	for file in LICENSE README.md CHANGELOG.md SECURITY.md CONTRIBUTING.md docs/releases.md; do
		[ -s "$file" ] || { echo "$file is missing" && missing=1; }
	done
	return $missing
}

# Who reads the changelog finds the release, and nothing beside it that is in it too.
changelog() {
	grep -q -E "^## $version .*[0-9]{4}-[0-9]{2}-[0-9]{2}" CHANGELOG.md || {
		echo "CHANGELOG.md has no section \"## $version\" with a date"
		return 1
	}
	if awk '/^## / { inside = $0 == "## Unreleased"; next } inside && NF { found = 1 } END { exit !found }' CHANGELOG.md; then
		echo "CHANGELOG.md still has something under \"## Unreleased\": docs/releases.md says how it is emptied"
		return 1
	fi
}

must "the work tree is clean" clean
must "go.mod replaces and excludes nothing" plain
must "the pages that a release has" complete
must "go build" each go build ./...
must "go vet" each go vet ./...
must "go vet with the tests of several nodes, of second servers and of random sequences" each go vet -tags topology,second,random ./...
must "the other systems" make --no-print-directory vet-systems ${module:+RELEASED="$module"}
must "go.mod is tidy" each go mod tidy -diff
must "the modules are what go.sum says" each go mod verify
must "what is generated is not stale" make --no-print-directory verify
must "the pages link to what is there" make --no-print-directory docs
case $module in
cmd/*) ;; # a program
*) must "the public API" .ci/api.sh ;;
esac
if [ -n "$version" ]; then
	must "the changelog is that of the release" changelog
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
