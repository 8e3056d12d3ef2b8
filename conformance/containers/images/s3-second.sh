# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets cache, pack.sh work_dir and here
# Packs versitygw, which keeps objects as files, built by Go from its published source. The licence is
# Apache-2.0. ensure.sh sources this file.

# shellcheck source=go.sh
source "$here/go.sh"

pack_s3-second() {
	local repository=$1 version=v1.8.0 root folder began=$SECONDS
	folder=$cache/versitygw-$version
	workspace s3-second
	[ -x "$folder/versitygw" ] || build_go s3-second "$folder" "github.com/versity/versitygw/cmd/versitygw@$version" \
		"-X main.Version=${version#v}" || return
	root=$work_dir/root
	new_root "$root"
	mkdir -p "$root/data"
	add_program "$root" "$folder/versitygw" "$root"
	import_image "$root" "$repository:${version#v}-packed" 'ENTRYPOINT ["/usr/bin/versitygw"]' \
		'CMD ["--port",":9000","posix","/data"]' 'EXPOSE 9000'
	say "s3-second: packed $repository:${version#v}-packed in $((SECONDS - began)) s"
}
