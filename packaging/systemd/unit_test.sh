#!/bin/sh
# systemd's own word on the unit file, and two numbers in it that must agree.
set -eu
unit=$1
fail() { echo "$*" >&2; exit 1; }

stored=$(sed -n 's/^FileDescriptorStoreMax=//p' "$unit")
told=$(sed -n 's/.*--descriptor_store_max=\([0-9]*\).*/\1/p' "$unit")
[ -n "$stored" ] && [ "$stored" = "$told" ] \
  || fail "FileDescriptorStoreMax=$stored, --descriptor_store_max=$told"

folder=$(mktemp -d "${TEST_TMPDIR:-/tmp}/unit-XXXXXX")
trap 'rm -rf "$folder"' EXIT
# The program need not be installed here.
sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' "$unit" > "$folder/shmd.service"
systemd-analyze verify --man=no "$folder/shmd.service" 2> "$folder/out" \
  || fail "$(cat "$folder/out")"
# What a newer systemd knows is no fault.
newer='FileDescriptorStorePreserve|RestartSteps|RestartMaxDelaySec'
if grep -F "$folder" "$folder/out" | grep -vE "Unknown key.*($newer)"; then
  fail "systemd-analyze verify has complaints"
fi
# Exposure of at most 3.0 of 10.
systemd-analyze security --offline=true --threshold=30 --no-pager \
  "$folder/shmd.service" > "$folder/out" 2>&1 || fail "$(tail -1 "$folder/out")"
