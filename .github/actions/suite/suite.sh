#!/usr/bin/env bash
# Runs the tests of a backend, against a container of IMAGE if that is set. The tests find its PORT in
# SOJOURN_SERVER_ADDR. PACKAGES, RUN and JUNIT are the packages, a pattern of tests and the report.
set -euo pipefail

container=
if [ -n "${IMAGE:-}" ]; then
	if [ -z "${PORT:-}" ]; then
		echo "suite: an image needs a port: say which one the server listens on" >&2
		exit 2
	fi
	container=$(docker run --detach --publish "127.0.0.1::$PORT" "$IMAGE")
	trap 'docker rm --force --volumes "$container" >/dev/null' EXIT
	SOJOURN_SERVER_ADDR=$(docker port "$container" "$PORT" | head -n 1)
	export SOJOURN_SERVER_ADDR
	echo "suite: $IMAGE listens at $SOJOURN_SERVER_ADDR"
fi

junit=${JUNIT:-reports/suite.xml}
mkdir -p "$(dirname "$junit")"
read -ra packages <<<"${PACKAGES:-./...}"
status=0
# The program is that of the version in go.mod, as the suite is.
CI=true go run github.com/sojourn-go/sojourn/internal/tools/testrun -count=1 -timeout=18m "-junit=$junit" \
	${RUN:+"-run=$RUN"} "${packages[@]}" || status=$?
if [ "$status" != 0 ] && [ -n "$container" ]; then
	echo "suite: the server's log ends:" >&2
	docker logs --tail 100 "$container" >&2
fi
exit "$status"
