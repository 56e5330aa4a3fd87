#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_example.sh PROGRAM EXPECTED [FILTER [ARG...]]: runs the program with EXPECTED.in (or nothing)
# as its stdin and compares its stdout with EXPECTED.txt. `pid 4711` becomes `pid PID1`, the next
# number PID2 and so on, the same one always the same; `1.2 ms` becomes `TIME`, `3 MiB` `SIZE`.
set -u
export LC_ALL=C
program=$1
expected=$2
filter=${3:-cat}
shift "$(($# < 3 ? $# : 3))"
[ -n "$filter" ] || filter=cat
input=/dev/null
[ -f "$expected.in" ] && input=$expected.in

output=$("$program" "$@" < "$input")
code=$?
if [ "$code" -ne 0 ]; then
  printf '%s\n' "$output"
  echo "$program exited with $code" >&2
  exit 1
fi

printf '%s\n' "$output" | sh -c "$filter" | awk '
  {
    line = $0 "\n"
    masked = ""
    while (match(line, /pid [0-9]+|[0-9][0-9.]* (ns|us|ms|s|KiB|MiB)[^A-Za-z]/)) {
      found = substr(line, RSTART, RLENGTH)
      masked = masked substr(line, 1, RSTART - 1)
      line = substr(line, RSTART + RLENGTH)
      if (found ~ /^pid /) {
        if (!(found in number)) number[found] = ++pids
        masked = masked "pid PID" number[found]
      } else {
        masked = masked (found ~ /iB/ ? "SIZE" : "TIME")
        line = substr(found, length(found)) line
      }
    }
    printf "%s%s", masked, line
  }' | diff -u "$expected.txt" -
