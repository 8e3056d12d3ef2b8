#!/usr/bin/env bash
# Checks the prose rules on two files: bad.go.txt must give exactly the findings in
# bad.golden, good.go.txt none. "selftest.sh VALE -update" rewrites bad.golden.
set -euo pipefail
vale=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
for name in bad good; do
	cp .vale/testdata/$name.go.txt "$temp/$name.go" # *.go.txt is no code to the Go command
done
findings() { "$vale" --no-global --no-exit --config=.vale.ini --output=line "$temp/$1.go" | sed "s|^$temp/||" | sort -t: -k2,2n -k3,3n; }
if [ "${2-}" = -update ]; then
	findings bad >.vale/testdata/bad.golden
fi
status=0
findings bad | diff -u .vale/testdata/bad.golden - || status=1
findings good | diff -u /dev/null - || status=1
if [ $status -ne 0 ]; then
	echo "the prose rules no longer find what .vale/testdata says" >&2
fi
exit $status
