#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check_quotes.sh ROOT PAGE: holds a page to what it says.
#  - A code block names the file that it comes from after its language (```cpp examples/x.cc), and is
#    part of that file, line for line. Blocks of C++ without a file are refused.
#  - A test that stands in backquotes as `Suite.Name`, `example.NAME` or `docs.NAME` exists.
#  - A link to a file of this repository leads somewhere.
set -u
cd "$1" || exit 2
page=$2
problems=0

awk -v page="$page" '
  function load(file,   line, text) {
    if (file in texts) return texts[file]
    text = "\n"
    while ((got = (getline line < file)) > 0) text = text line "\n"
    if (got < 0) complain("no such file: " file)
    return texts[file] = text
  }
  function complain(what) { printf "%s:%d: %s\n", page, NR, what; bad = 1 }
  /^```/ && !inside {
    inside = 1; source = $2; block = ""; begin = NR
    if ($1 == "```cpp" && source == "") complain("a block of C++ that names no file")
    next
  }
  /^```/ {
    inside = 0
    if (source != "" && index(load(source), "\n" block) == 0)
      complain("the block that begins in line " begin " is not in " source)
    next
  }
  inside { block = block $0 "\n" }
  END { exit bad }
' "$page" || problems=1

prose=$(awk '/^```/ { inside = !inside; next } !inside' "$page")

for test in $(printf '%s\n' "$prose" | grep -o '`[A-Za-z]*\.[A-Za-z_0-9.]*`' | tr -d '`' | sort -u); do
  suite=${test%%.*}
  name=${test#*.}
  case $test in
    *.h | *.cc | *.md | *.sh | *.txt | *.svg | *.S) continue ;;
    example.*) [ -f "examples/expected/$name.txt" ] && continue ;;
    docs.*) [ -f "docs/$name.md" ] && continue ;;
    *Test.*) grep -rqE "TEST(_F|_P)?\($suite, $name\)" tests && continue ;;
    *) continue ;;
  esac
  echo "$page: no such test: $test"
  problems=1
done

for link in $(printf '%s\n' "$prose" | grep -o '](\([^):#]*\)[)#]' | sed 's/^](//; s/[)#]$//' | sort -u); do
  { [ -z "$link" ] || [ -e "$(dirname "$page")/$link" ]; } && continue
  echo "$page: leads nowhere: $link"
  problems=1
done
exit $problems
