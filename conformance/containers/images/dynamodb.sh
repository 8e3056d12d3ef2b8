# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets work_dir, java.sh sets jdk
# Packs Amazon's DynamoDB Local from its published jars, in the layout of the official image, so that
# the same command starts both. Its licence allows use for development and testing and forbids
# redistribution: the image stays on this machine. ensure.sh sources this file.

# shellcheck source=java.sh
source "$here/java.sh"

pack_dynamodb() {
	local repository=$1 version=2.6.1 root home jar began=$SECONDS
	need_java dynamodb || return
	workspace dynamodb
	root=$work_dir/root home=$work_dir/root/home/dynamodblocal
	new_root "$root"
	mkdir -p "$home"
	say "dynamodb: packing DynamoDB Local $version from its jars"
	maven_jars "$home/DynamoDBLocal_lib" "com.amazonaws:DynamoDBLocal:$version"
	rm -f "$home"/DynamoDBLocal_lib/*.{dll,dylib} "$home"/DynamoDBLocal_lib/*-i386-*.so
	# The published jar names libraries that have other names at Maven: this one names those that are there.
	{
		printf 'Main-Class: com.amazonaws.services.dynamodbv2.local.main.ServerRunner\nClass-Path:'
		for jar in "$home"/DynamoDBLocal_lib/*.jar; do
			printf ' \n  DynamoDBLocal_lib/%s' "${jar##*/}"
		done
		printf '\n'
	} >"$work_dir/manifest"
	"$jdk/bin/jar" --create --file "$home/DynamoDBLocal.jar" --manifest "$work_dir/manifest"
	add_java "$root"
	import_image "$root" "$repository:$version-packed" 'ENV PATH=/opt/java/bin' 'WORKDIR /home/dynamodblocal' \
		"ENTRYPOINT [\"java\",$java_quick]" 'CMD ["-jar","DynamoDBLocal.jar","-inMemory"]' 'EXPOSE 8000'
	say "dynamodb: packed $repository:$version-packed in $((SECONDS - began)) s"
}
