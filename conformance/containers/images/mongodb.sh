# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets cache, pack.sh work_dir
# Packs a stand-in for MongoDB, because no package registry of programs has mongod: secantusd-rs of
# the crate secantus-mdb, which speaks MongoDB's protocol on MongoDB's storage engine. It is a single
# node, so it proves nothing about write concerns, elections, retries after them, or sharding.
# NOTICE: secantus-mdb is under GPL-2.0-only. It runs in a process of its own, for tests only. Nothing
# of this module is linked with it, and neither it nor the image is redistributed. ensure.sh sources
# this file.

standin_version=0.5.3-beta.196

pack_mongodb() {
	local repository=$1 root tag folder=$cache/secantus-mdb-$standin_version began=$SECONDS
	# A name that nobody takes for a version of mongod's.
	tag=secantus-$standin_version-standin-packed
	[ -x "$folder/bin/secantusd-rs" ] || build_standin "$folder" || return
	workspace mongodb
	root=$work_dir/root
	new_root "$root"
	add_program "$root" "$folder/bin/secantusd-rs" "$root"
	import_image "$root" "$repository:$tag" 'ENTRYPOINT ["/usr/bin/secantusd-rs"]' 'EXPOSE 27017' \
		'CMD ["--host","0.0.0.0","--storage-path","/data/db","--cache-size","256M","--log-level","WARNING"]'
	say "mongodb: packed $repository:$tag in $((SECONDS - began)) s: a stand-in, not mongod"
}

# can_build_standin: succeeds if the compiler and the tools of the storage engine's build are
# installed.
can_build_standin() {
	have cargo && have cmake && have make && have c++ && printf '#include <zlib.h>\n' | c++ -E -x c++ - >/dev/null 2>&1
}

# build_standin FOLDER: builds the stand-in. It continues an interrupted build.
build_standin() {
	local folder=$1 parent=$BASHPID began=$SECONDS ticker status=0
	if have cargo && ! can_build_standin && is_root && is_debian; then
		install_debs mongodb cmake g++ make libc6-dev zlib1g-dev || return 3
	fi
	if ! can_build_standin; then
		say "mongodb: no image: install Rust (cargo) 1.95 or newer, cmake, make, a C++ compiler and zlib's headers, or set SOJOURN_MONGODB_URL"
		return 3
	fi
	mkdir -p "$folder"
	say "mongodb: building the stand-in secantusd-rs $standin_version, once: 6 to 10 minutes, log in $folder/log"
	(
		exec 9>&- # the lock is not the ticker's, nor is the terminal its last sleep's
		while sleep 30 >/dev/null 2>&1 && kill -0 "$parent" 2>/dev/null; do
			say "mongodb: building the stand-in: $((SECONDS - began)) s, $(grep -c Compiling "$folder/log") crates begun"
		done
	) &
	ticker=$!
	# The compiler that it says it wants is newer than the one that it needs.
	CARGO_TARGET_DIR=$folder/target nice -n 19 cargo install secantus-mdb --version "$standin_version" --locked \
		--ignore-rust-version --root "$folder" >"$folder/log" 2>&1 </dev/null || status=$?
	kill "$ticker" 2>/dev/null || true
	if [ "$status" != 0 ] || [ ! -x "$folder/bin/secantusd-rs" ]; then
		say "mongodb: cargo: $(grep -m 1 ^error "$folder/log" || tail -n 1 "$folder/log")"
		return 1
	fi
	rm -rf "$folder/target"
	say "mongodb: built the stand-in in $((SECONDS - began)) s"
}
