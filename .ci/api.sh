#!/usr/bin/env bash
# Compares the public API with that of the last tag. It fails if VERSION is set and its number does not
# allow the changes: before 1.0 a minor version may break, a patch may not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-}

# The tag of the version itself is not the one before.
# A suffix sorts before: 0.2.0-rc.1 comes before 0.2.0.
last=$(git -c versionsort.suffix=- tag --list 'v[0-9]*' --sort=-version:refname --merged HEAD | grep -v -x -F "v$version" | head -n 1 || true)
if [ -z "$last" ]; then
	echo "api: no release has been tagged yet: nothing to compare with"
	exit
fi
module=$(go list -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old"
git archive "$last" | tar -x -C "$work/old"
diff() { # diff ARGUMENT…: its remarks about internal packages matter only after a failure
	"$APIDIFF" -m "$@" 2>"$work/log" || {
		cat "$work/log" >&2
		return 1
	}
}
# promised: leaves out what no other module should import.
promised() { grep -v -E '^ *- \./(conformance/containers|examples/)' || true; }
(cd "$work/old" && diff -w "$work/old.api" "$module")
diff -w "$work/new.api" "$module"
diff "$work/old.api" "$work/new.api" | promised >"$work/text"
grep -E '^ *- ' "$work/text" >"$work/changes" || true
breaking=$(diff -incompatible "$work/old.api" "$work/new.api" | promised | { grep -E '^ *- ' || true; })
echo "api: what changed since $last:"
if [ -s "$work/changes" ]; then sed 's/^/  /' "$work/text"; else echo "  nothing"; fi

if [ -z "$version" ]; then
	exit
fi
fail() {
	echo "api: $version is not allowed: $*" >&2
	exit 1
}
IFS=. read -r major minor _ <<<"${version%%-*}"
IFS=. read -r last_major last_minor _ <<<"${last#v}"
if [ "$major" != "$last_major" ]; then
	exit
fi
if [ -n "$breaking" ] && [ "$major" != 0 ]; then
	fail "the API breaks: it needs the version $((major + 1)).0.0"
fi
if [ "$minor" = "$last_minor" ] && [ -n "$breaking" ]; then
	fail "the API breaks: it needs the version $major.$((minor + 1)).0"
fi
if [ "$minor" = "$last_minor" ] && [ -s "$work/changes" ]; then
	fail "the API grows: it needs the version $major.$((last_minor + 1)).0"
fi
