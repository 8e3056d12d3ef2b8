#!/usr/bin/env bash
# spring.sh: finds Java and Maven, or installs them where this script may do so, and downloads the jars
# of Spring Session into the cache, for the comparison of libraries. Exit 3: the machine lacks what only
# its owner can provide. Maven's settings say from where it downloads.
#   spring.sh -update  write the checksums of what Maven finds for pom.xml into jars.sha256
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"
# shellcheck source=pack.sh
source "$here/pack.sh"
# shellcheck source=java.sh
source "$here/java.sh"

project=$(cd "$here/../../../internal/tests/peers/spring" && pwd)
sums=$project/jars.sha256
sha256() { if have sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

# runs_sources: succeeds if java is new enough, and has the compiler that runs a source file.
runs_sources() {
	local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
	version=$("$java" -version 2>&1 | sed -n 's/^.* version "\([0-9]*\).*/\1/p') && [ "${version:-0}" -ge "$oldest_jdk" ] &&
		"$java" --list-modules 2>/dev/null | grep -q '^jdk\.compiler@'
}

need_tools() {
	local package
	! { runs_sources && have mvn; } || return 0
	if is_root && is_debian && package=$(first_deb openjdk-{17,21,25}-jdk-headless); then
		install_debs spring "$package" maven || true
		hash -r
	fi
	{ runs_sources && have mvn; } || absent "spring: install a JDK ($oldest_jdk or later) and Maven, to compare with Spring Session"
}

# download: the folder's name is that of the list, so it is there only with what the list has.
download() {
	local into
	[ ! -d "$jars" ] || return 0
	workspace spring
	into=$work_dir/jars
	copy_jars "$project/pom.xml" "$into" || absent "spring: Maven could not download the jars of Spring Session"
	if [ "${1:-}" = -update ]; then
		(cd "$into" && sha256 -- *.jar) >"$sums"
		name_folder
	elif ! (cd "$into" && sha256 -- *.jar) | diff - "$sums" >&2; then
		absent "spring: the jars are not those of $sums"
	fi
	rm -rf "$jars"
	mv "$into" "$jars"
	say "spring: downloaded Spring Session"
}

name_folder() { jars=$cache/spring-$(sha256 <"$sums" | cut -c 1-12); }

name_folder
need_tools
[ "${1:-}" != -update ] || rm -rf "$jars"
locked spring download "$@"
say "spring: Java and the jars of Spring Session are there"
