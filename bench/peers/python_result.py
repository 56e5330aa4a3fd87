# SPDX-License-Identifier: MIT
"""Peers for "a large result": an array('d') as a result, python_result.py BYTES.

From when the worker has the array complete until it is there in the parent, who does not add it up:
that would take Python longer than all the rest.
"""

import array
import mmap
import struct
import sys
import time

from pools import serve

COMPLETE = mmap.mmap(-1, 8)  # when it was, on the clock that the processes share


def doubles(count):
    value = array.array("d", [1.0]) * count
    COMPLETE[:] = struct.pack("q", time.monotonic_ns())
    return value


def main():
    count = int(sys.argv[1]) // 8

    def nanoseconds(call):
        value = call(count)
        elapsed = time.monotonic_ns() - struct.unpack("q", COMPLETE[:])[0]
        assert len(value) == count and value[-1] == 1.0
        return elapsed

    serve(1, doubles, nanoseconds)


main()
