# SPDX-License-Identifier: MIT
"""Peer for "many jobs, two in flight": Python's subprocess from two threads.

python_jobs.py inherit|capture N PROGRAM [ARG...]: a word `{}` becomes the number of the job;
capture prints the jobs' output in order.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def main():
    capture, jobs, command = sys.argv[1] == "capture", int(sys.argv[2]), sys.argv[3:]

    def run(number):
        words = [str(number) if word == "{}" else word for word in command]
        return subprocess.run(words, stdout=subprocess.PIPE if capture else None, check=True).stdout

    with ThreadPoolExecutor(2) as threads:
        for output in threads.map(run, range(1, jobs + 1)):
            if capture:
                sys.stdout.buffer.write(output)


main()
