# SPDX-License-Identifier: MIT
"""Peers for "a large result": an array('d') from Python's own two pools.

python_result.py BYTES: a round for each line on stdin, as rounds.h has it. From when the worker has
the array complete until it is there in the parent, who does not add it up: that would take Python
longer than all the rest.
"""

import array
import concurrent.futures
import mmap
import multiprocessing
import struct
import sys
import time

COMPLETE = mmap.mmap(-1, 8)  # when it was, on the clock that the processes share


def doubles(count):
    value = array.array("d", [1.0]) * count
    COMPLETE[:] = struct.pack("q", time.monotonic_ns())
    return value


def nanoseconds(call, count):
    value = call(count)
    elapsed = time.monotonic_ns() - struct.unpack("q", COMPLETE[:])[0]
    assert len(value) == count and value[-1] == 1.0
    return elapsed


def main():
    count = int(sys.argv[1]) // 8
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool, concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        calls = {
            "pool": lambda count: pool.apply(doubles, (count,)),
            "executor": lambda count: executor.submit(doubles, count).result(),
        }
        for call in calls.values():
            nanoseconds(call, 1000)
        print("ready", flush=True)
        for _ in sys.stdin:
            for name, call in calls.items():
                print(f"{name} {nanoseconds(call, count)}")
            print("end", flush=True)


main()
