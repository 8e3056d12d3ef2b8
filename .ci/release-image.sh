#!/usr/bin/env bash
# Makes the image of the command line of VERSION from bin/release.
#   without PUSH  for this machine's engine, as sojourn:VERSION, and runs it
#   PUSH=NAME     for both architectures, pushes NAME:VERSION, and writes its digest to GITHUB_OUTPUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${VERSION:-} push=${PUSH:-}
version=${version:-0.0.0-dev}
file=cmd/sojourn/Containerfile context=bin/release
chmod 0755 "$context"/linux_*/sojourn # artifacts of a workflow lose their modes

if [ -n "$push" ]; then
	docker buildx create --use >/dev/null
	docker buildx build --platform=linux/amd64,linux/arm64 --provenance=false --file="$file" --build-arg="VERSION=$version" \
		--tag="$push:$version" --metadata-file=bin/image.json --push "$context"
	digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' bin/image.json)
	if [ -z "$digest" ]; then
		echo "release-image: the builder did not say the digest" >&2
		exit 1
	fi
	echo "digest=$digest" | tee -a "${GITHUB_OUTPUT:-/dev/null}"
	exit
fi
docker build --file="$file" --build-arg="TARGETARCH=$(go env GOARCH)" --build-arg="VERSION=$version" --tag="sojourn:$version" "$context"
said=$(docker run --rm --network=none --read-only --cap-drop=ALL "sojourn:$version" --version)
user=$(docker image inspect --format '{{.Config.User}}' "sojourn:$version")
echo "release-image: as user $user it says: $said"
if [ "$said" != "sojourn version $version" ] || [ "$user" != 65532:65532 ]; then
	echo "release-image: want $version and the user 65532:65532" >&2
	exit 1
fi
