# SPDX-License-Identifier: MIT
"""Peers for "a round trip of one task in a pool that is warm": python_pool.py COUNT."""

import sys
import time

from pools import serve


def plus_one(value):
    return value + 1


def main():
    count = int(sys.argv[1])

    def nanoseconds(call):
        begin = time.perf_counter_ns()
        for value in range(count):
            assert call(value) == value + 1
        return (time.perf_counter_ns() - begin) / count

    serve(2, plus_one, nanoseconds)


main()
