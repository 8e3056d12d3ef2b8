# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir, java.sh sets jdk
# Packs the Elasticsearch server from its published jars, with a launcher of this module. Unpublished
# parts are missing: GET /, scripts, security, _reindex, and therefore _update_by_query and
# _delete_by_query. The licence is SSPL, AGPL-3.0 or Elastic's, as the user chooses. The server runs
# in a process of its own, for tests only, and is not redistributed. ensure.sh sources this file.

# shellcheck source=java.sh
source "$here/java.sh"

pack_elasticsearch() {
	local repository=$1 version=8.17.2 root home began=$SECONDS
	need_java elasticsearch || return
	workspace elasticsearch
	root=$work_dir/root home=$work_dir/root/opt/elasticsearch
	new_root "$root"
	mkdir -p "$home"/{bin,config,data,logs,tmp,plugins,lib/tools/ansi-console,modules/transport-netty4}
	say "elasticsearch: packing Elasticsearch $version from its jars"
	maven_jars "$home/lib" "org.elasticsearch:elasticsearch:$version" \
		"org.elasticsearch.plugin:transport-netty4:$version" net.java.dev.jna:jna:5.12.1
	mkdir "$work_dir/classes"
	"$jdk/bin/javac" --release "$oldest_jdk" -cp "$home/lib/*" -d "$work_dir/classes" "$here"/elasticsearch/*.java
	"$jdk/bin/jar" --create --file "$home/launcher.jar" -C "$work_dir/classes" .
	mv "$home"/lib/{netty-*,transport-netty4-*}.jar "$home/modules/transport-netty4/"
	describe_transport "$home/modules/transport-netty4" "$version"
	configure_elasticsearch "$home"
	# It refuses to run as root, and whose number it gets depends on the engine.
	chmod 1777 "$home"/{config,data,logs,tmp}
	add_java "$root"
	import_image "$root" "$repository:$version-packed" 'ENV PATH=/opt/java/bin' 'ENV LIBFFI_TMPDIR=/opt/elasticsearch/tmp' \
		'USER 1000:1000' "ENTRYPOINT [\"java\",$java_quick,\"@/opt/elasticsearch/java.options\",\"Launcher\",\"/opt/elasticsearch\"]" \
		'EXPOSE 9200'
	say "elasticsearch: packed $repository:$version-packed in $((SECONDS - began)) s"
}

# describe_transport FOLDER VERSION: writes the description of the HTTP module that the server
# expects.
describe_transport() {
	cat >"$1/plugin-descriptor.properties" <<-END
		name=transport-netty4
		description=HTTP
		classname=org.elasticsearch.transport.netty4.Netty4Plugin
		modulename=org.elasticsearch.transport.netty4
		version=$2
		elasticsearch.version=$2
		java.version=$oldest_jdk
	END
	cat >"$1/plugin-security.policy" <<-'END'
		grant {
		  permission java.lang.RuntimePermission "accessDeclaredMembers";
		  permission java.lang.RuntimePermission "getClassLoader";
		  permission java.lang.RuntimePermission "setContextClassLoader";
		  permission java.lang.reflect.ReflectPermission "suppressAccessChecks";
		  permission java.net.SocketPermission "*", "accept,connect,resolve";
		};
	END
}

# configure_elasticsearch HOME: writes the settings that the official launcher would find or set.
configure_elasticsearch() {
	cat >"$1/config/log4j2.properties" <<-'END'
		# Its warnings tell what a server in production should have.
		status = error
		appender.console.type = Console
		appender.console.name = console
		appender.console.layout.type = PatternLayout
		appender.console.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n
		rootLogger.level = error
		rootLogger.appenderRef.console.ref = console
	END
	cat >"$1/java.options" <<-'END'
		-Xms512m
		-Xmx512m
		-Djava.io.tmpdir=/opt/elasticsearch/tmp
		-Djna.tmpdir=/opt/elasticsearch/tmp
		-Djna.nosys=true
		-Djava.security.manager=allow
		-Dio.netty.noUnsafe=true
		-Dio.netty.noKeySetOptimization=true
		-Dlog4j2.disable.jmx=true
		-Des.path.home=/opt/elasticsearch
		-Des.path.conf=/opt/elasticsearch/config
		-Des.distribution.type=docker
		--add-opens=java.base/java.io=ALL-UNNAMED
		--add-opens=org.elasticsearch.server/org.elasticsearch.bootstrap=ALL-UNNAMED
		--module-path=/opt/elasticsearch/lib
		--add-modules=jdk.net,ALL-MODULE-PATH
		--class-path=/opt/elasticsearch/launcher.jar
	END
}
