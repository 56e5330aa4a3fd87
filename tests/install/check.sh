#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh BUILD-DIR C++-COMPILER: installs into a fresh prefix and builds a program against it, once
# by find_package and once by pkg-config.
set -eu
build=$1
compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$here" -B "$work/user" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$work/user" >/dev/null
[ "$("$work/user/user")" = "hello from a child" ]

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name tine.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # words are meant to be split
"$compiler" -std=c++23 "$here/user.cc" $(pkg-config --cflags --libs tine) -o "$work/by_pkg_config"
[ "$("$work/by_pkg_config")" = "hello from a child" ]
[ "$("$work/prefix/bin/tine" run echo ::: installed)" = installed ]
echo "installed, found twice, and run"
