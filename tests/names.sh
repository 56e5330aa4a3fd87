#!/bin/sh
# SPDX-License-Identifier: MIT
#
# names.sh ROOT: where many tests are compiled as one, a function in the unnamed namespace of one of
# them would silently stand for the function of the same name that others have from a header.
set -u
cd "$1/tests" || exit 2
clashes=0
for directory in os child command work cli; do
  set -- support/*.h
  for file in "$directory"/*.h "$directory"/*_test.cc; do
    [ -e "$file" ] && set -- "$@" "$file"
  done
  awk '
    # A definition that begins in the first column: the word before the first parenthesis.
    /^[A-Za-z_].*\(/ && !/^(TEST|EXPECT|INSTANTIATE|using|return|static_assert|namespace|typedef)/ {
      text = $0
      sub(/\(.*/, "", text)
      if (text !~ / /) next
      sub(/.*[ *&]/, "", text)
      if (text !~ /^[a-z_]+$/) next
      if (FILENAME ~ /\.h$/) header[text] = FILENAME
      else where[text] = FILENAME ":" FNR
    }
    END {
      for (name in where) if (name in header) {
        print "tests/" where[name] ": " name "() is also in tests/" header[name]
        bad = 1
      }
      exit bad
    }' "$@" || clashes=1
done
exit "$clashes"
