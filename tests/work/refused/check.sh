#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh C++-COMPILER INCLUDE-DIR FILE: the file must not compile. The compiler's errors, which
# have to be as many as there are blocks of lines `// expect: TEXT`, each have to contain the texts
# of one block.
set -u
if output=$("$1" -std=c++23 -fsyntax-only -fmessage-length=0 "-I$2" "$3" 2>&1); then
  echo "$3 compiles" >&2
  exit 1
fi
printf '%s\n' "$output" | awk -v source="$3" '
  BEGIN {
    while ((got = (getline line < source)) > 0) {
      if (sub(/^\/\/ expect: /, "", line)) {
        if (!within) blocks++
        within = 1
        expected[blocks, ++count[blocks]] = line
      } else within = 0
    }
  }
  { text = text $0 "\n" }
  / error: / { errors[++seen] = text; text = "" }
  END {
    for (b = 1; b <= blocks; b++) {
      found = 0
      for (e = 1; e <= seen && !found; e++) {
        found = 1
        for (i = 1; i <= count[b]; i++) if (!index(errors[e], expected[b, i])) found = 0
      }
      if (!found) { print "no error says: " expected[b, 1] " / " expected[b, 2]; bad = 1 }
    }
    if (seen != blocks) { print seen " errors, where " blocks " were expected"; bad = 1 }
    if (!blocks) bad = 1
    exit bad
  }' && exit 0
printf '%s\n' "$output" >&2
exit 1
