# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets cache, pack.sh work_dir and here
# Packs the MinIO server, built by Go from its published source. The licence is AGPL-3.0. The server
# runs in a process of its own, for tests only, and nothing of this module is linked with it.
# ensure.sh sources this file.

# shellcheck source=go.sh
source "$here/go.sh"

minio_version=v0.0.0-20260212201848-7aac2a2c5b7c

pack_minio() {
	local repository=$1 root tag folder=$cache/minio-$minio_version package=github.com/minio/minio began=$SECONDS
	workspace minio
	[ -x "$folder/minio" ] || build_go minio "$folder" "$package@$minio_version" "
		-X $package/cmd.Version=$(minio_time '\1-\2-\3T\4:\5:\6Z')
		-X $package/cmd.ReleaseTag=DEVELOPMENT.$(minio_time '\1-\2-\3T\4-\5-\6Z')
		-X $package/cmd.CommitID=${minio_version##*-}" || return
	root=$work_dir/root
	tag=$(minio_time '\1-\2-\3T\4-\5-\6Z')-packed
	new_root "$root"
	add_program "$root" "$folder/minio" "$root"
	import_image "$root" "$repository:$tag" 'ENTRYPOINT ["/usr/bin/minio"]' 'CMD ["server","/data"]' 'EXPOSE 9000'
	say "minio: packed $repository:$tag in $((SECONDS - began)) s"
}

# minio_time FORM: prints the time in the version, which MinIO's own builds use as their time.
minio_time() {
	sed -E "s/.*-(.{4})(..)(..)(..)(..)(..)-.*/$1/" <<<"$minio_version"
}
