#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh FUZZER DIRECTORY: runs it for TINE_FUZZ_SECONDS (60), beginning with what earlier runs have
# found interesting, which is in DIRECTORY/corpus. What fails is kept as DIRECTORY/crash-* and fails
# again with `FUZZER FILE`.
set -eu
fuzzer=$1
directory=$2
mkdir -p "$directory/corpus"
"$fuzzer" seed "$directory/corpus"
cd "$directory"
exec "$fuzzer" corpus -max_total_time="${TINE_FUZZ_SECONDS:-60}" -max_len=4096 -timeout=10 \
  -rss_limit_mb=2048 -malloc_limit_mb=64 -print_final_stats=1
