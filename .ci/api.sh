#!/usr/bin/env bash
# Compares the public API with that of the last tag. It fails if VERSION is set and its number does not
# allow the changes: before 1.0 a minor version may break, a patch may not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-}

# The tag of the version itself is not the one before.
last=$(git tag --list 'v[0-9]*' --sort=-version:refname --merged HEAD | grep -v -x -F "v$version" | head -n 1 || true)
if [ -z "$last" ]; then
	echo "api: no release has been tagged yet: nothing to compare with"
	exit
fi
module=$(go list -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old"
git archive "$last" | tar -x -C "$work/old"
(cd "$work/old" && "$APIDIFF" -m -w "$work/old.api" "$module")
"$APIDIFF" -m -w "$work/new.api" "$module"
# Packages that no other module can import have no API.
"$APIDIFF" -m "$work/old.api" "$work/new.api" | { grep -v '/internal/' || true; } >"$work/changes"
breaking=$("$APIDIFF" -m -incompatible "$work/old.api" "$work/new.api" | { grep -v '/internal/' || true; })
echo "api: what changed since $last:"
sed 's/^/  /' "$work/changes"
[ -s "$work/changes" ] || echo "  nothing"

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
