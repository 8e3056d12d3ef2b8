#!/usr/bin/env bash
# Runs the tests of a backend, against a container of IMAGE if that is set. The tests find its PORT in
# SOJOURN_SERVER_ADDR. OPTIONS are further options of docker run, COMMAND replaces the image's own: words
# separated by spaces. READY is a command in the container that succeeds as soon as the server serves.
# FOLDER is that of the module. PACKAGES, RUN and JUNIT are the packages, a pattern of tests and the report.
set -euo pipefail

container=
finish() { # finish STATUS
	[ -n "$container" ] || return 0
	if [ "$1" != 0 ]; then
		echo "suite: the server's log ends:" >&2
		docker logs --tail 100 "$container" >&2 || true
	fi
	docker rm --force --volumes "$container" >/dev/null || true
}
trap 'finish $?' EXIT

if [ -n "${IMAGE:-}" ]; then
	if [ -z "${PORT:-}" ]; then
		echo "suite: an image needs a port: say which one the server listens on" >&2
		exit 2
	fi
	read -ra options <<<"${OPTIONS:-}"
	read -ra command <<<"${COMMAND:-}"
	read -ra ready <<<"${READY:-}"
	container=$(docker run --detach --publish "127.0.0.1::$PORT" ${options[@]+"${options[@]}"} "$IMAGE" ${command[@]+"${command[@]}"})
	# The port answers before the server does.
	left=60
	until [ ${#ready[@]} = 0 ] || docker exec "$container" "${ready[@]}"; do
		if ((left-- == 0)); then
			echo "suite: the server was not ready after a minute: $READY" >&2
			exit 1
		fi
		sleep 1
	done
	SOJOURN_SERVER_ADDR=$(docker port "$container" "$PORT" | head -n 1)
	export SOJOURN_SERVER_ADDR
	echo "suite: $IMAGE listens at $SOJOURN_SERVER_ADDR"
fi

junit=${JUNIT:-reports/suite.xml}
mkdir -p "$(dirname "$junit")"
junit=$(cd "$(dirname "$junit")" && pwd)/$(basename "$junit")
read -ra packages <<<"${PACKAGES:-./...}"
cd "${FOLDER:-.}"
# The program is that of the version in go.mod, as the suite is. A vendor folder lacks it.
CI=true go run -mod=readonly github.com/sojourn-go/sojourn/internal/tools/testrun \
	-count=1 -timeout=16m "-junit=$junit" ${RUN:+"-run=$RUN"} "${packages[@]}"
