# SPDX-License-Identifier: MIT
"""Peer for "a map whose results are strings": Python's multiprocessing.Pool(2).map, by fork.

python_map.py ITEMS COUNT: a round for each line on stdin, as rounds.h has it.
"""

import multiprocessing
import statistics
import sys
import time


def text_of(item):
    return "x" * (20 + item * 7 % 181)


def nanoseconds(items):
    begin = time.perf_counter_ns()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        texts = pool.map(text_of, items)
        total = sum(map(len, texts))
    elapsed = time.perf_counter_ns() - begin
    assert total == sum(20 + item * 7 % 181 for item in items)
    return elapsed


def main():
    items, count = range(int(sys.argv[1])), int(sys.argv[2])
    nanoseconds(items[:1000])
    print("ready", flush=True)
    for _ in sys.stdin:
        times = [nanoseconds(items) for _ in range(count)]
        print(f"python {statistics.median(times):.0f}\nend", flush=True)


main()
