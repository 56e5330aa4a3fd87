# SPDX-License-Identifier: MIT
"""Peers for "a round trip of one task in a pool that is warm": Python's own two pools.

python_pool.py COUNT: a round for each line on stdin, as rounds.h has it.
"""

import concurrent.futures
import multiprocessing
import sys
import time


def plus_one(value):
    return value + 1


def nanoseconds(call, count):
    begin = time.perf_counter_ns()
    for value in range(count):
        assert call(value) == value + 1
    return (time.perf_counter_ns() - begin) / count


def main():
    count = int(sys.argv[1])
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool, concurrent.futures.ProcessPoolExecutor(2, context) as executor:
        calls = {
            "pool": lambda value: pool.apply(plus_one, (value,)),
            "executor": lambda value: executor.submit(plus_one, value).result(),
        }
        for call in calls.values():
            nanoseconds(call, 20)
        print("ready", flush=True)
        for _ in sys.stdin:
            for name, call in calls.items():
                print(f"{name} {nanoseconds(call, count):.0f}")
            print("end", flush=True)


main()
