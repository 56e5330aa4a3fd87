# SPDX-License-Identifier: MIT
"""Peer for "start and wait for a program": Python's subprocess, from a parent of any size.

python_spawn.py MIB COUNT PROGRAM: a round for each line on stdin, as rounds.h has it.
"""

import mmap
import statistics
import subprocess
import sys
import time


def hold_memory(mebibytes):
    memory = mmap.mmap(-1, mebibytes << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    block = b"\1" * (1 << 20)
    for at in range(0, len(memory), len(block)):
        memory[at : at + len(block)] = block
    return memory


def nanoseconds(program):
    begin = time.perf_counter_ns()
    subprocess.run([program], stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter_ns() - begin


def main():
    mebibytes, count, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    held = hold_memory(mebibytes)
    nanoseconds(program)
    print("ready", flush=True)
    for _ in sys.stdin:
        times = [nanoseconds(program) for _ in range(count)]
        print(f"python {statistics.median(times):.0f}\nend", flush=True)
    held.close()


main()
