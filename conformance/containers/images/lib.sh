# shellcheck shell=bash
# shellcheck disable=SC2034 # its variables are of use to the scripts that source it
# What engine.sh and ensure.sh share: where things are kept, which client talks to the engine, which
# engine answers. Sourced, never run.

cache=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/sojourn
default_socket=/var/run/docker.sock

say() { printf '%s\n' "$*" >&2; }
# Exit status 3: nothing is broken, but something that only the machine's owner can give is missing.
absent() {
	say "$*"
	exit 3
}
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
is_debian() { have apt-get && have dpkg; }

# variable NAME SUFFIX: the environment variable SOJOURN_<NAME>_<SUFFIX> for a server.
variable() { printf 'SOJOURN_%s_%s' "$(printf '%s' "$1" | tr '[:lower:]-' '[:upper:]_')" "$2"; }

# limited SECONDS COMMAND…: macOS has no timeout(1); there the command runs without a limit.
limited() {
	local seconds=$1
	shift
	if have timeout; then timeout "$seconds" "$@"; else "$@"; fi
}

# cli ARGUMENT…: the engine's client, at the engine that find_engine found. Podman's own client does
# where Docker's is absent: the few subcommands used here are the same in both.
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

# The same places, in the same order, as engineHosts in engine.go.
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
