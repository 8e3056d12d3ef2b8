#!/usr/bin/env bash
# browser.sh: finds Chromium for the tests of the web app, or installs it where this script may do so,
# and downloads axe-core into the cache. Exit 3: the machine lacks one that only its owner can provide.
# SOJOURN_BROWSER names a browser that is elsewhere.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

# The version and its checksum are those of internal/tests/browser/looks_test.go and of the file.
axe=4.14.1
axe_sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c

find_browser() {
	local name
	for name in "${SOJOURN_BROWSER:-}" chromium chromium-browser google-chrome google-chrome-stable chrome \
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" /Applications/Chromium.app/Contents/MacOS/Chromium; do
		[ -n "$name" ] && have "$name" && browser=$(command -v "$name") && return
	done
	return 1
}

apt_install() { # apt_install PACKAGE
	is_debian && is_root || return 1
	export DEBIAN_FRONTEND=noninteractive
	local log=/var/log/sojourn-$1.log
	say "browser: installing $1 with apt-get"
	apt_get() { apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null; }
	apt_get install -y --no-install-recommends "$1" || { apt_get update && apt_get install -y --no-install-recommends "$1"; } || {
		say "browser: apt-get install $1 failed: see $log"
		return 1
	}
	hash -r
}

sum() { if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }

# get_axe: the licence of axe-core (MPL-2.0) would allow a copy in the repository, but nothing here needs
# one.
get_axe() {
	local file=$cache/axe-core-$axe/axe.min.js folder
	[ -f "$file" ] && [ "$(sum "$file")" = "$axe_sum" ] && return
	have npm || apt_install npm || absent "browser: axe-core cannot be downloaded: install npm"
	folder=$(mktemp -d)
	(cd "$folder" && npm pack --silent "axe-core@$axe" >/dev/null && tar -xzf "axe-core-$axe.tgz" package/axe.min.js) || {
		rm -rf "$folder"
		absent "browser: axe-core $axe cannot be downloaded with npm"
	}
	if [ "$(sum "$folder/package/axe.min.js")" != "$axe_sum" ]; then
		rm -rf "$folder"
		absent "browser: axe-core $axe is not the file that this script knows"
	fi
	mkdir -p "$(dirname "$file")"
	mv "$folder/package/axe.min.js" "$file"
	rm -rf "$folder"
	say "browser: downloaded axe-core $axe"
}

find_browser || apt_install chromium || absent "browser: no Chromium or Chrome was found: install one, or set SOJOURN_BROWSER to its path"
find_browser || absent "browser: chromium was installed, and is not on the PATH"
say "browser: $browser is there"
get_axe
