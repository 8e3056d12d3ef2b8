# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets cache
# Provides what servers in Java need: a JDK, Maven, the published jars, and a Java runtime for the
# image. The scripts of such servers source this file.

# Elasticsearch 8 needs the security manager, which JDK 24 removed. No server here runs on less than
# 17.
oldest_jdk=17 newest_jdk=23
java_modules=java.se,jdk.attach,jdk.charsets,jdk.crypto.ec,jdk.management,jdk.naming.dns,jdk.net,jdk.unsupported,jdk.zipfs
# The server starts in half the time. Tests end before more optimization would pay.
# shellcheck disable=SC2034 # the entry point of an image uses it
java_quick='"-XX:TieredStopAtLevel=1","-XX:+UseSerialGC"'
maven_dependency=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

# find_jdk: sets jdk to the home of a JDK that can create runtimes, and jdk_version.
find_jdk() {
	local candidate compiler
	compiler=$(command -v javac) && compiler=$(readlink -f "$compiler")
	for candidate in "${JAVA_HOME:-}" "${compiler%/bin/javac}" /usr/lib/jvm/*; do
		if [ -x "$candidate/bin/jlink" ] && [ -d "$candidate/jmods" ] && [ -r "$candidate/release" ]; then
			jdk=$candidate
			jdk_version=$(sed -n 's/^JAVA_VERSION="\(.*\)"/\1/p' "$jdk/release")
			[ "${jdk_version%%.*}" -ge $oldest_jdk ] && [ "${jdk_version%%.*}" -le $newest_jdk ] && return
		fi
	done
	return 1
}

# need_java NAME: finds the JDK and Maven, or installs them if this script may do so.
need_java() {
	local package
	if ! { find_jdk && have mvn; }; then
		if is_root && is_debian; then
			if package=$(first_deb openjdk-{17,21}-jdk-headless); then
				install_debs "$1" "$package" maven || return 3
				hash -r
			fi
		fi
		if ! { find_jdk && have mvn; }; then
			say "$1: no image: install a JDK ($oldest_jdk to $newest_jdk) and Maven, or set $(variable "$1" URL)"
			return 3
		fi
	fi
}

# maven_jars INTO GROUP:ARTIFACT:VERSION…: downloads the jars and their dependencies.
maven_jars() {
	local into=$1 coordinate group artifact version folder
	shift
	folder=$(mktemp -d "$work_dir/maven.XXXXXX")
	{
		printf '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
		printf '<groupId>local</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>\n'
		for coordinate in "$@"; do
			IFS=: read -r group artifact version <<<"$coordinate"
			printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n' \
				"$group" "$artifact" "$version"
		done
		printf '</dependencies></project>\n'
	} >"$folder/pom.xml"
	copy_jars "$folder/pom.xml" "$into"
}

# copy_jars POM INTO: downloads what the project needs when it runs.
copy_jars() {
	local log=$work_dir/maven.log
	# Maven's folder of downloads is not made for several at once.
	if ! JAVA_HOME=${jdk:-${JAVA_HOME:-}} locked maven mvn -q -B --strict-checksums -f "$1" \
		"$maven_dependency:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$2" >"$log" 2>&1 </dev/null; then
		say "mvn: $(grep -m 1 ERROR "$log" || tail -n 1 "$log")"
		return 1
	fi
}

# add_java ROOT: adds a Java runtime in /opt/java, with the machine's libraries that it loads.
add_java() {
	local root=$1 file runtime
	# Other modules, another runtime.
	runtime=$cache/java-$jdk_version-$(cksum <<<"$java_modules" | cut -d ' ' -f 1)
	locked java make_runtime "$runtime"
	mkdir -p "$root/opt"
	cp -a "$runtime" "$root/opt/java"
	for file in "$root"/opt/java/bin/java "$root"/opt/java/lib/*.so "$root"/opt/java/lib/server/*.so; do
		add_libraries "$root" "$file" "$root/opt/java"
	done
}

# make_runtime FOLDER: creates the runtime once for each version of the JDK.
make_runtime() {
	[ ! -d "$1" ] || return 0
	"$jdk/bin/jlink" --strip-java-debug-attributes --no-man-pages --no-header-files --output "$work_dir/java" \
		--add-modules "$java_modules"
	# These need a display's libraries, and no server here draws.
	rm -f "$work_dir"/java/lib/lib{awt_xawt,jawt,splashscreen}.so
	mv "$work_dir/java" "$1"
}
