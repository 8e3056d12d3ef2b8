# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir
# Builds a server that is written in Go from its published source. The scripts of such servers source
# this file.

# build_go SERVER FOLDER PACKAGE@VERSION LDFLAGS: builds the program into FOLDER.
build_go() {
	local server=$1 folder=$2 package=$3 flags=$4 began=$SECONDS
	if ! have go; then
		say "$server: no image: install Go, or set $(variable "$server" URL)"
		return 3
	fi
	say "$server: building $package, once: 1 to 4 minutes"
	# Built elsewhere and moved: half a program must not be taken for one.
	if ! CGO_ENABLED=0 GOFLAGS='' GOBIN=$work_dir/bin nice go install -trimpath -ldflags "-s -w $flags" "$package" \
		>"$work_dir/log" 2>&1 </dev/null; then
		say "$server: go install: $(tail -n 1 "$work_dir/log")"
		return 1
	fi
	mkdir -p "$folder"
	mv "$work_dir/bin"/* "$folder/"
	say "$server: built it in $((SECONDS - began)) s"
}
