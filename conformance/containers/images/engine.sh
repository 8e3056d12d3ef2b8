#!/usr/bin/env bash
# Finds a container engine for the tests, or installs and starts one if this script may do so.
#   engine.sh [start]  find an engine, else install and start one; exit 3 if that is impossible
#   engine.sh env      print what a shell must export to reach the engine
#   engine.sh reap     remove test containers of killed runs
#   engine.sh stop     stop the engine if this script started it, never another one
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

state=/var/run/sojourn
record=$state/dockerd # process id and start time: a process id alone may be another program's by now
log=/var/log/sojourn-dockerd.log
patience=120

start() {
	if find_engine; then
		say "engine: $engine_found answers at $engine_host"
		return
	fi
	if [ -n "${DOCKER_HOST:-}" ] && [ "$DOCKER_HOST" != "unix://$default_socket" ]; then
		absent "engine: DOCKER_HOST is $DOCKER_HOST, but nothing answers there: start that engine or unset DOCKER_HOST"
	fi
	if ! is_root; then
		if [ -S "$default_socket" ] && [ ! -w "$default_socket" ]; then
			absent "engine: $default_socket is not open to $(id -un): add this user to the group docker, or use rootless Podman"
		fi
		absent "engine: no engine answers: install Docker (Docker Desktop, Colima, docker.io) or Podman and start it"
	fi
	[ "$(uname -s)" = Linux ] || absent "engine: no engine answers: start Docker Desktop or Colima"
	# From here on the machine is changed, so callers that come at the same time take turns.
	mkdir -p "$state"
	exec 9>"$state/lock"
	flock 9
	if find_engine; then
		say "engine: $engine_found answers at $engine_host (another call started it)"
		return
	fi
	have dockerd || install_engine
	if find_engine; then # a package may start its service
		say "engine: $engine_found answers at $engine_host"
	elif [ -d /run/systemd/system ]; then
		start_service
	else
		start_by_hand
	fi
	exec 9>&-
}

install_engine() {
	is_debian || absent "engine: no engine answers: install Docker or Podman with this system's package manager and start it"
	say "engine: no engine answers: installing docker.io with apt-get"
	# Without a running service manager the package's start script would pick a data root of its own;
	# RUNLEVEL=1 keeps it from being called.
	[ -d /run/systemd/system ] || export RUNLEVEL=1
	export DEBIAN_FRONTEND=noninteractive
	local began=$SECONDS
	apt_get() { apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null 9>&-; }
	apt-cache show docker.io >/dev/null 2>&1 || apt_get update || absent "engine: apt-get update failed: see $log"
	if ! apt_get install -y --no-install-recommends docker.io; then
		# Stale package lists name files that are gone.
		{ apt_get update && apt_get install -y --no-install-recommends docker.io; } ||
			absent "engine: apt-get install docker.io failed: see $log"
	fi
	# Newer releases ship the client in a package of its own.
	have docker || apt_get install -y --no-install-recommends docker-cli ||
		absent "engine: apt-get install docker-cli failed: see $log"
	hash -r
	say "engine: installed docker.io in $((SECONDS - began)) s"
}

start_service() {
	rm -f "$record"
	say "engine: starting the docker service"
	systemctl start docker >>"$log" 2>&1 || absent "engine: systemctl start docker failed: see journalctl -u docker"
	await || absent "engine: the docker service does not answer: see journalctl -u docker"
}

start_by_hand() {
	local options=()
	choose_storage
	say "engine: starting dockerd without a service manager, data in $data_root, log in $log"
	launch "${options[@]}"
	await && return
	if ! running; then
		say "engine: dockerd ended: starting it once more"
		launch "${options[@]}"
		await && return
	fi
	if ! running && tail -n 40 "$log" | grep -qi iptables; then
		# Published ports still work through the user-land proxy, which is all that the tests need.
		say "engine: iptables does not work here: starting dockerd without it"
		launch "${options[@]}" --iptables=false --ip6tables=false --ip-masq=false
		await && return
	fi
	tail -n 5 "$log" >&2
	absent "engine: dockerd did not come up: see $log"
}

# choose_storage: the kernel refuses overlay mounts on some file systems, such as an overlay. Which
# ones depends on its version, so the script tries.
choose_storage() {
	for data_root in /var/lib/docker "$cache/docker" /var/tmp/sojourn-docker; do
		if overlay_works "$data_root"; then
			[ "$data_root" = /var/lib/docker ] || options=(--data-root "$data_root")
			return
		fi
	done
	data_root=/var/lib/docker options=(--storage-driver vfs)
	say "engine: no file system here supports overlay mounts: using the slower vfs driver"
}

overlay_works() {
	mkdir -p "$1" 2>/dev/null || return 1
	local probe status=0
	probe=$(mktemp -d "$1/probe.XXXXXX") || return 1
	mkdir "$probe"/{lower,upper,work,merged}
	mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged" 2>/dev/null &&
		touch "$probe/merged/file" 2>/dev/null && umount "$probe/merged" || status=1
	rm -rf "$probe"
	return $status
}

# drop_stale_ids: after a kill or a crash the files with process ids stay. If another process has such
# an id by now, dockerd takes it for its own and does not start.
drop_stale_ids() {
	local name file pid
	while read -r name file; do
		pid=$(cat "$file" 2>/dev/null) || continue
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ] || rm -f "$file"
	done <<-'FILES'
		dockerd /var/run/docker.pid
		containerd /var/run/docker/containerd/containerd.pid
	FILES
}

launch() {
	drop_stale_ids
	# A session of its own: it outlives the terminal and make. The lock must not be inherited.
	setsid nohup dockerd "$@" >>"$log" 2>&1 </dev/null 9>&- &
	dockerd_pid=$!
	printf '%s %s\n' "$dockerd_pid" "$(start_time "$dockerd_pid")" >"$record"
}

# start_time PID: prints when the process started, in clock ticks since boot. With the id it
# identifies the process.
start_time() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# The program's name, in parentheses, may hold spaces; the fields after it count from the third.
	awk '{ print $20 }' <<<"${stat##*) }"
}

# running: succeeds if the recorded process still runs.
running() {
	local pid began
	[ -r "$record" ] && read -r pid began <"$record" && [ "$(start_time "$pid")" = "$began" ]
}

await() {
	local deadline=$((SECONDS + patience))
	while ! find_engine; do
		[ ! -e "$record" ] || running || return 1
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.2
	done
	say "engine: $engine_found answers at $engine_host after $SECONDS s"
}

stop() {
	local pid deadline
	if ! running; then
		rm -f "$record"
		say "engine: this script started no engine: nothing to stop"
		return
	fi
	read -r pid _ <"$record"
	kill "$pid"
	deadline=$((SECONDS + 60))
	while running; do
		if [ $SECONDS -ge $deadline ]; then
			say "engine: dockerd ($pid) does not stop: see $log"
			exit 1
		fi
		sleep 0.2
	done
	rm -f "$record"
	say "engine: stopped dockerd ($pid)"
}

reap() {
	find_engine || return 0
	local left
	left=$(cli ps --all --quiet --filter label=sojourn.test)
	[ -n "$left" ] || return 0
	# shellcheck disable=SC2086 # one word for each container
	cli rm --force --volumes $left >/dev/null
	say "engine: removed $(wc -w <<<"$left" | tr -d ' ') test containers of killed runs"
}

case ${1:-start} in
start) start ;;
env)
	find_engine || absent "engine: no engine answers: run make engine"
	printf 'export DOCKER_HOST=%q\n' "$engine_host"
	;;
reap) reap ;;
stop) stop ;;
*)
	say "usage: engine.sh [start|env|reap|stop]"
	exit 2
	;;
esac
