#!/usr/bin/env bash
# Builds the command line of VERSION for each of PLATFORMS, twice, and fails if both are not the same byte
# for byte. The second build runs in another folder with an empty cache. What was built once, its list of
# modules and the checksums are then in bin/release. .goreleaser.yaml has the same flags; a test compares them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-} platforms=${PLATFORMS:-}
version=${version:-0.0.0-dev}
platforms=${platforms:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
out=$PWD/bin/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Nothing of the environment may change what is built.
export CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' GOFLAGS='' GOWORK=off
build() { # build FOLDER OUT: the tree in FOLDER
	local platform os arch
	for platform in $platforms; do
		os=${platform%/*} arch=${platform#*/}
		(cd "$1/cmd/sojourn" && GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false \
			-ldflags="-s -w -X main.version=$version" -o "$2/${os}_$arch/" .) || return 1
		echo "release-build: built for $platform after $SECONDS s"
	done
}

rm -rf "$out"
mkdir -p "$out" "$work/tree"
build "$PWD" "$out"
git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$work/tree"
GOCACHE=$work/cache build "$work/tree" "$work/again"
different=0
while read -r file; do
	cmp "$out/$file" "$work/again/$file" || different=1
done < <(cd "$out" && find . -type f)
if [ $different != 0 ]; then
	echo "release-build: the builds differ" >&2
	exit 1
fi
echo "release-build: both builds are the same byte for byte"

# One text for all systems: the image has it beside the program.
# shellcheck disable=SC2086 # a list of systems
go run ./internal/tools/licences -dir=cmd/sojourn -out="$out/licences.txt" $platforms

# The list of a binary is what was compiled into it, not what go.mod names.
while read -r file; do
	name=${file%/*}
	"$CYCLONEDX" bin -json -std -noserial -notimestamp -version "$version" -output "$out/sojourn_$name.cdx.json" "$out/$file" 2>"$work/log" || {
		cat "$work/log" >&2
		exit 1
	}
done < <(cd "$out" && find . -type f -name 'sojourn*' ! -name '*.json' | sed 's|^\./||')
# macOS has shasum instead.
sum=(sha256sum)
command -v sha256sum >/dev/null || sum=(shasum -a 256)
(cd "$out" && find . -type f | sed 's|^\./||' | LC_ALL=C sort | xargs "${sum[@]}") >"$work/checksums.txt"
mv "$work/checksums.txt" "$out/"
cat "$out/checksums.txt"
