#!/usr/bin/env bash
# Compares the public API of MODULE, a folder, with that of its last tag. Without MODULE it is the root's, and
# without VERSION also that of each further module that others import. It fails if VERSION is set and its
# number does not allow the changes: before 1.0 a minor version may break, a patch may not. On GitHub the
# text is in the job's summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

diff() { # diff ARGUMENT…: its remarks about internal packages matter only after a failure
	"$APIDIFF" -m "$@" 2>"$work/log" || {
		cat "$work/log" >&2
		return 1
	}
}
# promised: leaves out what no other module should import.
promised() { grep -v -E '^ *- \./(conformance/containers|examples/)' || true; }
exported() { # exported TREE FOLDER FILE: writes the API of the module in the tree's folder
	(cd "$1/$2" && diff -w "$3" "$(go list -m)")
}
# The tag of the version itself is not the one before. A suffix sorts before: 0.2.0-rc.1 comes before 0.2.0.
newest=$(git -c versionsort.suffix=- tag --list 'v[0-9]*' --sort=-version:refname --merged HEAD | grep -v -x -F "v$version" | head -n 1 || true)
say() { printf '%s\n' "$1" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"; }

# compare FOLDER: sets last, and breaking; what changed is in $work/changes.
compare() {
	local module=${1#.}
	: >"$work/changes"
	breaking=''
	# Tags of further modules may be on a branch of the release, and have the numbers of the root's.
	last=${module:+$module/}$newest
	if ! git rev-parse --quiet --verify "refs/tags/$last" >/dev/null; then
		last=''
		say "api: no release${module:+ of $module} has been tagged yet: nothing to compare with"
		return
	fi
	rm -rf "$work/old"
	mkdir "$work/old"
	git archive "$last" | tar -x -C "$work/old"
	exported "$work/old" "$1" "$work/old.api"
	exported "$PWD" "$1" "$work/new.api"
	diff "$work/old.api" "$work/new.api" | promised >"$work/text"
	grep -E '^ *- ' "$work/text" >"$work/changes" || true
	breaking=$(diff -incompatible "$work/old.api" "$work/new.api" | promised | { grep -E '^ *- ' || true; })
	say "api: what changed since $last:"
	if [ -s "$work/changes" ]; then say "$(sed 's/^/  /' "$work/text")"; else say "  nothing"; fi
}

compare "${MODULE:-.}"
if [ -z "$version" ]; then
	[ -z "${MODULE:-}" ] || exit 0
	for file in $(git ls-files 'adapters/*/go.mod' 'backends/*/go.mod'); do
		compare "$(dirname "$file")"
	done
	exit
fi
[ -n "$last" ] || exit 0
fail() {
	echo "api: $version is not allowed: $*" >&2
	exit 1
}
last=${last##*/}
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
