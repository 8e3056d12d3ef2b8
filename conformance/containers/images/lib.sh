# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source it use its variables
# Shared by engine.sh and ensure.sh, which source it: the folders, the client of the engine, and the
# search for an engine.

cache=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/sojourn
default_socket=/var/run/docker.sock

say() { printf '%s\n' "$*" >&2; }
# Exit status 3: nothing is broken, but the machine lacks something that only its owner can provide.
absent() {
	say "$*"
	exit 3
}
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
is_debian() { have apt-get && have dpkg; }

# variable NAME SUFFIX: prints the name of the server's environment variable, SOJOURN_<NAME>_<SUFFIX>.
variable() { printf 'SOJOURN_%s_%s' "$(printf '%s' "$1" | tr '[:lower:]-' '[:upper:]_')" "$2"; }

# limited SECONDS COMMAND…: runs the command with a time limit, or without one on macOS, which lacks
# timeout(1).
limited() {
	local seconds=$1
	shift
	if have timeout; then timeout "$seconds" "$@"; else "$@"; fi
}

# cli ARGUMENT…: calls the client of the engine that find_engine found. If Docker's client is absent,
# Podman's serves: the subcommands used here are the same.
cli() {
	if have docker; then
		DOCKER_HOST=$engine_host docker "$@"
	else
		podman --remote --url "$engine_host" "$@"
	fi
}

engine_version() {
	local version
	if have docker; then
		version=$(DOCKER_HOST=$1 limited 15 docker version --format '{{.Server.Version}}' 2>/dev/null) || return 1
	elif have podman; then
		version=$(limited 15 podman --remote --url "$1" version --format '{{.Server.Version}}' 2>/dev/null) || return 1
	else
		return 1
	fi
	[ -n "$version" ] && printf '%s\n' "$version"
}

# The places and their order are those of engineHosts in engine.go.
engine_candidates() {
	if [ -n "${DOCKER_HOST:-}" ]; then
		printf '%s\n' "$DOCKER_HOST"
		return
	fi
	local socket context
	if have docker && context=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null); then
		printf '%s\n' "$context"
	fi
	for socket in "$default_socket" \
		"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock" \
		"${HOME:-}/.docker/run/docker.sock" \
		"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/podman/podman.sock" \
		/run/podman/podman.sock; do
		[ -S "$socket" ] && printf 'unix://%s\n' "$socket"
	done
	return 0
}

# find_engine: sets engine_host and engine_found to the first engine that answers.
find_engine() {
	local host
	while read -r host; do
		if engine_found=$(engine_version "$host"); then
			engine_host=$host
			return 0
		fi
	done < <(engine_candidates)
	return 1
}
