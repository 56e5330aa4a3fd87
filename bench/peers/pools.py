# SPDX-License-Identifier: MIT
"""Python's own two pools, as sources of a row's variants."""

import concurrent.futures
import multiprocessing
import sys


def serve(workers, function, measure):
    """A round for each line on stdin, as rounds.h has it.

    measure(call) gives nanoseconds, where call(value) runs `function` in a worker and waits.
    """
    context = multiprocessing.get_context("fork")
    with (
        context.Pool(workers) as pool,
        concurrent.futures.ProcessPoolExecutor(workers, context) as executor,
    ):
        calls = {
            "pool": lambda value: pool.apply(function, (value,)),
            "executor": lambda value: executor.submit(function, value).result(),
        }
        for call in calls.values():
            measure(call)  # by now its workers have been started
        print("ready", flush=True)
        for _ in sys.stdin:
            for name, call in calls.items():
                print(f"{name} {measure(call):.0f}")
            print("end", flush=True)
