#!/bin/sh
# SPDX-License-Identifier: MIT
#
# include_graph.sh ROOT: fails when a file includes what its layer may not see, and names it.
#
#   src/LAYER/      may include its own headers, those of the layers before it and tine/...
#   include/tine/   may include tine/... and the standard library and libc alone: no "os/..." and
#                   nothing that a user would have to install

set -u
cd "$1" || exit 2
bad=0

complain() {
  echo "$1" >&2
  bad=1
}

# quoted_includes FILE: what stands between the quotes.
quoted_includes() { sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$1"; }
angle_includes() { sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*<\([^>]*\)>.*/\1/p' "$1"; }

below=""
for layer in os child command work cluster report cli; do
  below="$below $layer"
  [ -d "src/$layer" ] || continue
  seen=0
  for file in $(find "src/$layer" -name '*.cc' -o -name '*.h' -o -name '*.S' | sort); do
    seen=1
    for header in $(quoted_includes "$file"); do
      top=${header%%/*}
      case " $below tine " in
        *" $top "*) ;;
        *) complain "$file: \"$header\" is not below the layer '$layer'" ;;
      esac
      [ -f "src/$header" ] || [ -f "include/$header" ] || complain "$file: \"$header\" does not exist"
    done
  done
  [ "$seen" = 1 ] || complain "src/$layer: no sources were looked at"
done

# The file names of the C++23 library and of glibc, as opposed to a package's.
is_standard() {
  case "$1" in
    */*) case "$1" in sys/*|linux/*|asm/*|net/*|netinet/*|arpa/*) return 0 ;; *) return 1 ;; esac ;;
    *.h) case "$1" in
           cxxabi.h|dirent.h|errno.h|fcntl.h|poll.h|pthread.h|sched.h|signal.h|spawn.h|stdint.h|\
           stddef.h|stdio.h|stdlib.h|string.h|termios.h|time.h|unistd.h) return 0 ;;
           *) return 1 ;;
         esac ;;
    *[!a-z0-9_]*) return 1 ;;
    *) return 0 ;;
  esac
}

count=0
for file in $(find include -name '*.h' | sort); do
  count=$((count + 1))
  for header in $(quoted_includes "$file"); do
    case "$header" in
      tine/*) [ -f "include/$header" ] || complain "$file: \"$header\" does not exist" ;;
      *) complain "$file: \"$header\" is not installed" ;;
    esac
  done
  for header in $(angle_includes "$file"); do
    is_standard "$header" || complain "$file: <$header> belongs to a third party"
  done
done
[ "$count" -gt 10 ] || complain "include: only $count headers were looked at"
exit "$bad"
