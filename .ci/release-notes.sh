#!/usr/bin/env bash
# release-notes.sh VERSION: prints the text of a release, which is its section of CHANGELOG.md. Its links lead
# to the files of that version: GitHub resolves no relative ones there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${1:-}
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
	printf 'release-notes: VERSION is %s, want a version such as 0.1.0\n' "${version:-not set}" >&2
	exit 2
fi
notes=$(awk -v head="## $version" '
	$0 == head || index($0, head " ") == 1 { found = 1; next }
	/^## / { found = 0 }
	found' CHANGELOG.md | sed -e '/./,$!d')
if [ -z "$notes" ]; then
	echo "release-notes: CHANGELOG.md has no section \"## $version\", or it is empty" >&2
	exit 1
fi
module=$(sed -n 's/^module //p' go.mod)
sed -E "s|\]\(([^):]+)\)|](https://$module/blob/v$version/\1)|g" <<<"$notes"
