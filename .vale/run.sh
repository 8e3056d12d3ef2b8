#!/usr/bin/env bash
# Runs the prose rules: run.sh VALE PATH... It lists the findings as
# file:line:column:rule:message and exits with status 1 if there are any.
set -euo pipefail
vale=$1
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
all=$("$vale" --no-global --no-exit --output=line "$@" | sort -t: -k1,1 -k2,2n -k3,3n)
findings=()
while IFS= read -r finding; do
	IFS=: read -r file line _ rule _ <<<"$finding"
	# Vale reads comments behind code on consecutive lines as one text: its length means nothing.
	if [ "$rule" = Sojourn.LongComment ] && ! sed -n "${line}p" "$file" | grep -q '^[[:space:]]*\(//\|/\*\)'; then
		continue
	fi
	if [ -n "$finding" ]; then
		findings+=("$finding")
	fi
done <<<"$all"
if [ ${#findings[@]} -gt 0 ]; then
	printf '%s\n' "${findings[@]}"
	echo "${#findings[@]} findings; the rules are in .vale/styles/Sojourn" >&2
	exit 1
fi
