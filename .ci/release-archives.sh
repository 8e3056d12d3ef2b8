#!/usr/bin/env bash
# Checks .goreleaser.yaml, and packs the command line of VERSION into bin/dist. It fails if a binary of make
# release-build is there and differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-}
version=${version:-0.0.0-dev}
PATH=$(dirname "$CYCLONEDX"):$PATH
export PATH SOJOURN_VERSION=$version GORELEASER_CURRENT_TAG=v$version

# As .goreleaser.yaml names them: system_processor.
targets=$(sed -n 's/^ *targets: \[\(.*\)\]$/\1/p' .goreleaser.yaml | tr ',_' ' /')
# shellcheck disable=SC2086 # a list of systems
go run ./internal/tools/licences -dir=cmd/sojourn -out=bin/licences.txt $targets
[ ! -d bin/release ] || cp bin/licences.txt bin/release/ # of one system alone, the text of make release-build is shorter
"$GORELEASER" check
"$GORELEASER" release --snapshot --clean
compared=0
while read -r file; do
	packed=$(find "bin/dist/sojourn_$(dirname "$file")"* -type f -name "$(basename "$file")")
	cmp "bin/release/$file" "$packed"
	compared=$((compared + 1))
done < <(cd bin/release 2>/dev/null && find . -mindepth 2 -type f -name 'sojourn*' | sed 's|^\./||')
echo "release-archives: $compared binaries are those of make release-build"
