# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets cache
# Packs programs of this machine into an image without a base image and without a builder. A container
# needs only a folder with the program and the libraries that it loads. Other scripts source this
# file.

# workspace NAME: creates a folder in the cache that is removed when the calling subshell ends.
workspace() {
	mkdir -p "$cache"
	work_dir=$(mktemp -d "$cache/$1.XXXXXX")
	trap 'rm -rf "$work_dir"' EXIT
}

# locked NAME COMMAND…: runs the command while no other run does the same.
locked() {
	local lock=$cache/$1.lock
	shift
	mkdir -p "$cache"
	{
		flock 8
		"$@"
	} 8>"$lock"
}

# apt_get ARGUMENT…: runs apt-get as root, one call at a time, and waits for other programs' calls.
apt_get() {
	mkdir -p "$cache"
	DEBIAN_FRONTEND=noninteractive locked apt \
		apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$cache/apt.log" 2>&1 </dev/null
}

# first_deb PACKAGE…: prints the first package that this release has.
first_deb() {
	local package try
	for try in 1 2; do
		for package in "$@"; do
			if apt-cache show "$package" >/dev/null 2>&1; then
				printf '%s' "$package"
				return
			fi
		done
		[ $try = 2 ] || apt_get update || true
	done
	return 1
}

# install_debs NAME PACKAGE…: installs what the build of a server needs, as root.
install_debs() {
	local name=$1 began=$SECONDS
	shift
	say "$name: installing $* with apt-get"
	# Package lists may be missing, or stale.
	if ! apt_get install -y --no-install-recommends "$@" &&
		! { apt_get update && apt_get install -y --no-install-recommends "$@"; }; then
		say "$name: apt-get install $* failed: see $cache/apt.log"
		return 1
	fi
	say "$name: installed $* in $((SECONDS - began)) s"
}

# unpack_debs INTO PACKAGE…: unpacks the files of packages without installing them: no root, no
# service that starts. If apt-get's index lacks a package, the index is updated once.
unpack_debs() {
	local into=$1 folder deb
	shift
	folder=$(mktemp -d "$work_dir/debs.XXXXXX")
	(
		cd "$folder"
		download() { apt-get -q -o APT::Sandbox::User=root download "$@" >>"$work_dir/apt.log" 2>&1; }
		download "$@" || { is_root && apt-get -q update >>"$work_dir/apt.log" 2>&1 && download "$@"; }
	) || {
		say "apt-get download $*: $(tail -n 1 "$work_dir/apt.log")"
		return 1
	}
	for deb in "$folder"/*.deb; do
		dpkg -x "$deb" "$into"
	done
}

# deb_version PACKAGE: prints the upstream version that apt-get would download: 5:7.0.15-1~deb12u10 is
# 7.0.15.
deb_version() {
	apt-cache show --no-all-versions "$1" 2>/dev/null |
		sed -n 's/^Version: *//p' | head -n 1 | sed -e 's/^[0-9]*://' -e 's/-[^-]*$//' -e 's/[+~].*//'
}

# deb_libraries PACKAGE: prints the shared-library packages that it depends on, without the C library:
# program and loader must come from one release, and the loader is this machine's.
deb_libraries() {
	apt-cache depends --no-recommends --no-suggests --no-breaks --no-conflicts --no-replaces --no-enhances "$1" |
		sed -n 's/^ *|\{0,1\}Depends: *\(lib[^ ]*\)$/\1/p' | grep -vx libc6 || true
}

# libraries_of PROGRAM TREE: prints ldd's lines, with the libraries of an unpacked tree before the
# machine's.
libraries_of() {
	local folders
	folders=$(find "$2" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd :)
	LD_LIBRARY_PATH=$folders ldd "$1" 2>/dev/null || true # a static program has none
}

# new_root ROOT: creates the folders that every program expects.
new_root() {
	mkdir -p "$1"/{etc,tmp,data,usr/bin,lib/packed}
	chmod 1777 "$1/tmp" "$1/data"
	printf 'root:x:0:0:root:/:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\n' >"$1/etc/group"
	printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
}

# add_program ROOT PROGRAM TREE: adds the program as /usr/bin/NAME, with the libraries that it loads.
add_program() {
	cp -L "$2" "$1/usr/bin/$(basename "$2")"
	add_libraries "$@"
}

# add_libraries ROOT FILE TREE: adds the libraries that a file loads, side by side in /lib/packed, and
# its loader at the path built into the file. LD_LIBRARY_PATH names /lib/packed.
add_libraries() {
	local root=$1 file=$2 tree=$3 line path
	while read -r line; do
		case $line in
		*'not found'*)
			say "$(basename "$file") needs a library that this machine lacks: $line"
			return 1
			;;
		*"=> $root/"*) ;; # it comes along
		*'=> /'*)
			path=${line#*=> }
			cp -L "${path%% *}" "$root/lib/packed/${line%% *}"
			;;
		/*)
			path=${line%% *}
			mkdir -p "$root$(dirname "$path")"
			cp -L "$path" "$root$path"
			;;
		esac
	done < <(libraries_of "$file" "$tree")
}

# import_image ROOT TAG CHANGE…: makes the folder an image. Each change is a Dockerfile line. The files
# belong to root, or to the user with the number image_owner.
import_image() {
	local root=$1 tag=$2 change changes=()
	shift 2
	for change in 'ENV LD_LIBRARY_PATH=/lib/packed' 'ENV PATH=/usr/bin' 'WORKDIR /data' "$@"; do
		changes+=(--change "$change")
	done
	tar -C "$root" --owner="${image_owner:-0}" --group="${image_owner:-0}" --numeric-owner -c . | cli import "${changes[@]}" - "$(qualified "$tag")" >/dev/null
}
