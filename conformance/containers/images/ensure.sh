#!/usr/bin/env bash
# ensure.sh NAME…: provides an image for each named server, by default for all official images of
# images.txt. If the engine lacks the image, the script pulls it. If that fails, NAME.sh packs it from
# this machine's package registry, under the official repository name with a tag that ends in -packed.
# A server with an endpoint in SOJOURN_<NAME>_URL needs no image. The exit status is 3 if an image is
# missing. With SOJOURN_PACK=never, as in the workflows, a pull is tried three times, and only images that
# no registry has are packed: what was packed may be another version, or only stand in for the server.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"
# shellcheck source=pack.sh
source "$here/pack.sh"

to_pack=9 # the exit status of ensure where an image has to be packed
pull_limit=${SOJOURN_PULL_SECONDS:-120}
tries=1
[ "${SOJOURN_PACK:-}" != never ] || tries=3

official_image() { awk -v name="$1" '$1 == name { print $2 }' "$here/images.txt"; }
setting() { # setting NAME SUFFIX: the value of SOJOURN_<NAME>_<SUFFIX>
	local variable
	variable=$(variable "$1" "$2")
	printf '%s' "${!variable:-}"
}
# is_ours IMAGE: succeeds if no registry has the image, so that it must be packed.
is_ours() { [[ $1 == localhost/* ]]; }
may_pack() { [ "${SOJOURN_PACK:-}" != never ] || is_ours "$1"; }
present() { cli image inspect "$(qualified "$1")" >/dev/null 2>&1; }
repository() {
	local image=${1%%@*}
	printf '%s' "${image%:*}"
}
# qualified IMAGE: prints the full name. Docker shortens it again, and Podman does not complete short
# names.
qualified() {
	case $1 in
	*.*/* | *:*/* | localhost/*) printf '%s' "$1" ;; # it names its registry
	*/*) printf 'docker.io/%s' "$1" ;;
	*) printf 'docker.io/library/%s' "$1" ;;
	esac
}
# packed REPOSITORY: prints the newest packed image.
packed() {
	cli image ls --format '{{.Repository}}:{{.Tag}}' | awk -v repository="$1:" '
		{ sub(/^docker\.io\//, ""); sub(/^library\//, "") }
		!found && index($0, repository) == 1 && /-packed$/ { print; found = 1 }
		END { exit !found }'
}

pull() {
	local name=$1 image=$2 began=$SECONDS answer try
	for ((try = 1; try <= tries; try++)); do
		say "$name: pulling $image, for at most $pull_limit s"
		if answer=$(limited "$pull_limit" "${cli_command[@]}" pull --quiet "$(qualified "$image")" 2>&1); then
			say "$name: pulled $image in $((SECONDS - began)) s"
			return
		fi
		say "$name: could not pull $image: $(tail -n 1 <<<"${answer:-no answer within $pull_limit s}")"
	done
	return 1
}

# ensure NAME: provides the image and prints one line that says which image the tests use.
ensure() {
	local name=$1 image tag
	if [ -n "$(setting "$name" URL)" ]; then
		say "$name: the tests use the endpoint that the environment names; no image is needed"
		return
	fi
	image=$(official_image "$name")
	if [ -z "$image" ]; then
		say "$name: images.txt does not list this server"
		return 2
	fi
	if [ -n "$(setting "$name" IMAGE)" ]; then
		image=$(setting "$name" IMAGE)
		present "$image" || pull "$name" "$image" || return 3
		say "$name: $image, named by the environment"
	elif present "$image"; then
		say "$name: $image is there"
	elif may_pack "$image" && tag=$(packed "$(repository "$image")"); then
		# It was packed because the pull failed: asking again on every run would cost its time limit.
		say "$name: $tag is there, packed earlier (remove it to have $image pulled)"
	elif is_ours "$image" || ! pull "$name" "$image"; then
		may_pack "$image" || return 3
		if [ "$(uname -s)" != Linux ]; then
			say "$name: images can be packed on Linux only: set $(variable "$name" URL) or $(variable "$name" IMAGE) instead"
			return 3
		fi
		return $to_pack
	fi
}

# pack NAME: packs the image unless another run has packed it meanwhile.
pack() {
	local name=$1 image tag
	image=$(official_image "$name")
	mkdir -p "$cache"
	exec 9>"$cache/$name.lock"
	if ! flock -n 9; then
		say "$name: waiting for another run that packs it"
		flock 9
	fi
	if tag=$(packed "$(repository "$image")"); then
		say "$name: $tag is there, packed by another run"
		return
	fi
	# shellcheck source=redis.sh
	source "$here/$name.sh"
	"pack_$name" "$(repository "$image")"
}

servers=("$@")
if [ $# = 0 ]; then
	# shellcheck disable=SC2207 # names are single words; macOS's bash has no mapfile
	servers=($(awk '!/^#/ && NF && $1 !~ /-second$/ { print $1 }' "$here/images.txt"))
fi
needed=()
for name in "${servers[@]}"; do
	[ -n "$(setting "$name" URL)" ] || needed+=("$name")
done
if [ ${#needed[@]} -gt 0 ]; then
	"$here/engine.sh" start
	find_engine
	cli_command=(docker) && have docker || cli_command=(podman --remote --url "$engine_host")
	export DOCKER_HOST=$engine_host
fi

worst=0
note() { # note STATUS
	[ "$1" -le "$worst" ] || worst=$1
}

# The pulls run at the same time. If the network drops packets, their time limits then do not add up.
jobs=()
for name in "${servers[@]}"; do
	(ensure "$name") &
	jobs+=($!)
done
packs=()
for i in "${!jobs[@]}"; do
	status=0
	wait "${jobs[i]}" || status=$?
	if [ "$status" = $to_pack ]; then packs+=("${servers[i]}"); else note "$status"; fi
done
# The images are packed one by one, because some take all cores for minutes. If one fails, the others
# are still packed.
for name in ${packs[@]+"${packs[@]}"}; do
	# No "||" here: bash would then go on after an error inside.
	set +e
	(
		set -e
		pack "$name"
	)
	status=$?
	set -e
	[ "$status" = 0 ] || [ "$status" = 3 ] || say "$name: could not be packed (status $status)"
	note "$status"
done
exit "$worst"
