# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir
# Packs PostgreSQL with an empty database: the server on PATH, else that of Debian's or Ubuntu's package.
# The image has no shell, so initdb runs here. PostgreSQL does not run as root, so the files belong to a
# user of their own. ensure.sh sources this file.

pack_postgres() {
	local repository=$1 program version home tree package libraries began=$SECONDS root
	# initdb runs without root's rights, so its user must reach the folder.
	work_dir=$(mktemp -d /var/tmp/sojourn-postgres.XXXXXX)
	trap 'rm -rf "$work_dir"' EXIT
	chmod 755 "$work_dir"
	tree=$work_dir/tree root=$work_dir/root
	mkdir "$tree"
	if program=$(command -v postgres); then
		home=$(dirname "$(dirname "$(readlink -f "$program")")")
	elif is_debian && package=$(first_deb postgresql-{18,17,16,15,14,13}); then
		say "postgres: packing Debian's $package"
		mapfile -t libraries < <(deb_libraries "$package" | grep -v llvm)
		unpack_debs "$tree" "$package" "${libraries[@]}"
		home=$tree/usr/lib/postgresql/${package#*-}
	else
		say "postgres: no image: let the engine pull it, put postgres on PATH, or set SOJOURN_POSTGRES_URL"
		return 3
	fi
	version=$(with_libraries "$tree" "$home/bin/postgres" --version | sed 's/^[^0-9]*\([0-9.]*\).*/\1/')
	new_root "$root"
	printf 'postgres:x:999:999::/data:/bin/sh\n' >>"$root/etc/passwd"
	mkdir -p "$root/usr/lib/postgresql/${home##*/}"/{bin,lib} "$root/usr/share/postgresql"
	cp -L "$home/bin/postgres" "$root/usr/lib/postgresql/${home##*/}/bin/"
	cp -L "$home"/lib/{plpgsql,dict_snowball,*_and_*}.so "$root/usr/lib/postgresql/${home##*/}/lib/"
	cp -rL "$home/../../../share/postgresql/${home##*/}" "$root/usr/share/postgresql/"
	cp -rL /usr/share/zoneinfo "$root/usr/share/"
	add_libraries "$root" "$home/bin/postgres" "$tree"
	chmod 777 "$root/data"
	unprivileged "$tree" "$home/bin/initdb" --pgdata="$root/data/pg" --username=postgres --auth=trust \
		--encoding=UTF8 --locale=C --no-sync >"$work_dir/initdb.log" 2>&1 || {
		say "postgres: initdb: $(tail -n 1 "$work_dir/initdb.log")"
		return 1
	}
	chmod 755 "$root/data"
	printf 'host all all all trust\n' >>"$root/data/pg/pg_hba.conf"
	image_owner=999 import_image "$root" "$repository:$version-packed" \
		"ENTRYPOINT [\"/usr/lib/postgresql/${home##*/}/bin/postgres\",\"-D\",\"/data/pg\",\"-h\",\"0.0.0.0\",\"-k\",\"/tmp\"]" \
		'USER 999:999' 'EXPOSE 5432'
	say "postgres: packed $repository:$version-packed in $((SECONDS - began)) s"
}

# with_libraries TREE PROGRAM ARGUMENT…: runs a program of an unpacked tree.
with_libraries() {
	local folders
	folders=$(find "$1" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
	shift
	LD_LIBRARY_PATH=$folders "$@"
}

# unprivileged TREE PROGRAM ARGUMENT…: the same without root's rights.
unprivileged() {
	local tree=$1
	shift
	if is_root; then
		with_libraries "$tree" setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		with_libraries "$tree" "$@"
	fi
}
