# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir
# Packs Redis: the redis-server on PATH, else that of Debian's or Ubuntu's package. ensure.sh sources
# this file.

pack_redis() {
	local repository=$1 program version tree root package libraries began=$SECONDS
	workspace redis
	tree=$work_dir/tree root=$work_dir/root
	mkdir "$tree"
	if program=$(command -v redis-server); then
		version=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')
	elif is_debian; then
		say "redis: packing Debian's redis-server"
		unpack_debs "$tree" redis-server redis-tools
		program=$tree/usr/bin/redis-server
		version=$(deb_version redis-server)
		# Only what this machine lacks is fetched.
		if libraries_of "$program" "$tree" | grep -q 'not found'; then
			mapfile -t libraries < <(for package in redis-server redis-tools; do deb_libraries "$package"; done | sort -u)
			unpack_debs "$tree" "${libraries[@]}"
		fi
	else
		say "redis: no image: let the engine pull it, put a redis-server on PATH, or set SOJOURN_REDIS_URL"
		return 3
	fi
	new_root "$root"
	add_program "$root" "$program" "$tree"
	import_image "$root" "$repository:$version-packed" \
		'ENTRYPOINT ["/usr/bin/redis-server","--bind","0.0.0.0","--protected-mode","no"]' 'EXPOSE 6379'
	say "redis: packed $repository:$version-packed in $((SECONDS - began)) s"
}
