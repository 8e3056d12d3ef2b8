# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir, java.sh sets jdk
# Packs mongo-java-server, in memory, with a main class of this module. It shares no code with the
# stand-in of mongodb.sh. ensure.sh sources this file.

# shellcheck source=java.sh
source "$here/java.sh"

pack_mongodb-second() {
	local repository=$1 version=1.47.0 root began=$SECONDS
	need_java mongodb-second || return
	workspace mongodb-second
	root=$work_dir/root
	new_root "$root"
	mkdir -p "$root/opt/server"
	say "mongodb-second: packing mongo-java-server $version from its jars"
	maven_jars "$root/opt/server" "de.bwaldvogel:mongo-java-server:$version" "org.slf4j:slf4j-nop:2.0.17"
	"$jdk/bin/javac" --release "$oldest_jdk" -cp "$root/opt/server/*" -d "$root/opt/server" "$here/mongo-java/Launcher.java"
	add_java "$root"
	import_image "$root" "$repository:$version-packed" 'ENV PATH=/opt/java/bin' 'EXPOSE 27017' \
		"ENTRYPOINT [\"java\",$java_quick,\"-cp\",\"/opt/server:/opt/server/*\",\"Launcher\",\"$version\",\"27017\"]"
	say "mongodb-second: packed $repository:$version-packed in $((SECONDS - began)) s"
}
