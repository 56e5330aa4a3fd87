# SPDX-License-Identifier: MIT
"""How the references, tine and its peers are told to run the jobs 1 to N, two at a time, and which
of them are here. A launcher is a function (path of the program, number of jobs) -> Launch.
"""

import os
import pathlib
import shutil
import subprocess
import sys

from measuring import Launch, PeakMemory, Server, Timed

PEERS = pathlib.Path(__file__).resolve().parent / "peers"

# What to install where a peer is missing.
PACKAGES = {
    "xargs": "findutils",
    "gnu": "GNU parallel: package parallel",
    "moreutils": "moreutils parallel: package moreutils",
    "ninja": "ninja-build",
    "boost_spawn": "Boost.Process v2: package libboost1.81-dev, then build again",
    "tine": "the command; --tine PATH says where",
    "tine_spawn": "built with the library",
    "tine_pipeline": "built with the library",
    "tine_map": "built with the library",
    "thread_map": "OpenMP and TBB: package libtbb-dev, then build again",
}


def is_gnu_parallel(path):
    done = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL)
    return done.stdout.startswith(b"GNU parallel")


def find_parallels():
    """GNU's and moreutils' commands share a name; Debian renames moreutils' when both are there."""
    found = {}
    for name in ("parallel", "parallel.moreutils"):
        path = shutil.which(name)
        if path is not None:
            found["gnu" if is_gnu_parallel(path) else "moreutils"] = path
    return found


class Tools:
    """The programs at hand, a folder for input files, and how much work a row gets."""

    def __init__(self, tine, programs, scratch, quick):
        self.programs = pathlib.Path(programs)
        self.scratch = pathlib.Path(scratch)
        self.quick = quick
        self.missing = []
        self.paths = {
            **{name: shutil.which(name) for name in ("xargs", "make", "ninja", "bash")},
            **find_parallels(),
            "tine": tine if os.access(tine, os.X_OK) else None,
            "python": sys.executable,
        }

    def jobs(self, full):
        return max(full // 5, 1) if self.quick else full

    def find(self, name):
        """The path of a peer or of one of our programs; None, noted once, where it is missing."""
        built = self.programs / name
        path = self.paths.get(name) or (str(built) if os.access(built, os.X_OK) else None)
        if path is None and name not in self.missing:
            self.missing.append(name)
        return path

    def timed(self, name, program, jobs, launcher, check=None, sink="null"):
        path = self.find(program)
        return path and Timed(name, jobs, lambda count: launcher(path, count), check, sink)

    def server(self, names, program, *words):
        path = self.find(program)
        return path and Server(names, [path, *words])

    def peak(self, name, program, jobs, launcher):
        path = self.find(program)
        return path and PeakMemory(name, self.find("peak_memory"), launcher(path, jobs))

    def write(self, name, text):
        path = self.scratch / name
        path.write_text(text)
        return str(path)

    def numbers(self, jobs):
        name = f"numbers-{jobs}"
        path = self.scratch / name
        lines = "".join(f"{number}\n" for number in range(1, jobs + 1))
        return str(path) if path.exists() else self.write(name, lines)

    def on_numbers(self, *words):
        """For tine, xargs and GNU parallel: the numbers of the jobs come on stdin."""
        return lambda path, jobs: Launch([path, *words], stdin=self.numbers(jobs))

    def make(self, command, *options):
        return lambda path, jobs: Launch(
            [path, "-rR", "-j2", *options, "-f", self.makefile(jobs, command)]
        )

    def makefile(self, jobs, command):
        """Phony targets, so that make looks for neither files nor implicit rules."""
        names = " ".join(f"job{number}" for number in range(1, jobs + 1))
        recipe = command.replace("{}", "$(@:job%=%)")
        text = f"all: {names}\n.PHONY: all {names}\n{names}:\n\t@{recipe}\n"
        return self.write(f"{os.path.basename(command.split()[0])}-{jobs}.mk", text)

    def ninja(self, command):
        return lambda path, jobs: self.ninja_launch(path, jobs, command)

    def ninja_launch(self, path, jobs, command):
        """No job makes its output, so each is due every time; the log would only grow."""
        folder = self.scratch / f"ninja-{os.path.basename(command)}-{jobs}"
        folder.mkdir(exist_ok=True)
        builds = "".join(f"build job{number}: run\n" for number in range(1, jobs + 1))
        (folder / "build.ninja").write_text(f"rule run\n  command = {command}\n{builds}")
        log = folder / ".ninja_log"
        argv = [path, "-j2", "--quiet"]
        return Launch(argv, cwd=str(folder), before=lambda: log.unlink(missing_ok=True))


def loop(output, *command):
    return lambda path, jobs: Launch([path, "-j", "2", "--output", output, str(jobs), *command])


def bash(command):
    script = f"for ((i = 0; i < $1; i++)); do ((i < 2)) || wait -n; {command} & done; wait"
    return lambda path, jobs: Launch([path, "-c", script, "bash", str(jobs)])


def moreutils(*command):
    def launcher(path, jobs):
        return Launch([path, "-j2", *command, "--", *map(str, range(1, jobs + 1))])

    return launcher


def python(mode, *command):
    script = str(PEERS / "python_jobs.py")
    return lambda path, jobs: Launch([path, script, mode, str(jobs), *command])
