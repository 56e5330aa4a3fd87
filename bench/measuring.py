# SPDX-License-Identifier: MIT
"""How bench/run.py measures: sources give one sample of each of their variants a round, and a row
takes its sources in turn, A B C B C A, so that a busy neighbour disturbs all of them alike.

Times are seconds for one job, memory is MiB. Every sample of a round belongs together, so ratios
are formed within rounds and their median is quoted.
"""

import dataclasses
import os
import statistics
import subprocess
import time
from collections.abc import Callable


class CannotRun(Exception):
    """A command that was to be measured failed; the text says which and how."""


@dataclasses.dataclass
class Sample:
    value: float
    cpu: float | None = None  # user + system seconds for one job, where the source knows


@dataclasses.dataclass
class Launch:
    """One command with all that it needs; `before` runs untimed, just before each start."""

    argv: list[str]
    stdin: str = os.devnull
    cwd: str | None = None
    before: Callable[[], None] = lambda: None


def environment():
    """Ours, without what make, GNU parallel or a tracing user would slip into the measured ones."""
    unwanted = ("MAKE", "PARALLEL", "TINE_", "NINJA")
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}


def expect_success(argv, status, stderr):
    if status != 0:
        text = stderr.decode(errors="replace").strip().splitlines()
        command = " ".join([os.path.basename(argv[0]), *argv[1:8]])
        raise CannotRun(f"`{command[:100]}` gave {status}: {' / '.join(text[-3:]) or 'no message'}")


class Server:
    """A program that keeps running and does a round for each line that it reads (rounds.h)."""

    def __init__(self, names, argv):
        self.names = names  # what it calls a variant -> what the tables call it
        self.argv = argv
        self.process = None

    def variants(self):
        return list(self.names.values())

    def prepare(self):
        self.process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        self.lines_until(b"ready\n")  # or its warming up would disturb the others' first round

    def measure(self):
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: what it said is found below
        pairs = [line.split() for line in self.lines_until(b"end\n")]
        return {self.names[name.decode()]: Sample(float(value) / 1e9) for name, value in pairs}

    def lines_until(self, last):
        lines = []
        while (line := self.process.stdout.readline()) != last:
            if line == b"":
                stderr = self.process.communicate()[1]
                expect_success(self.argv, self.process.returncode or "no figures", stderr)
            lines.append(line)
        return lines

    def finish(self):
        if self.process is not None and self.process.returncode is None:
            self.process.communicate()


class Timed:
    """A command that does many jobs, timed from its start to its end, start-up included."""

    def __init__(self, name, jobs, make_launch, check=None, sink="null"):
        self.name = name
        self.jobs = jobs
        self.make_launch = make_launch  # jobs -> Launch
        self.check = check  # (jobs, printed bytes) -> bool
        self.sink = sink
        self.launch = None

    def variants(self):
        return [self.name]

    def prepare(self):
        """Sees with a few jobs that the command does its work, for a failing one is fast."""
        few = min(self.jobs, 20)
        launch = self.make_launch(few)
        launch.before()
        with open(launch.stdin, "rb") as stdin:
            done = subprocess.run(
                launch.argv, stdin=stdin, capture_output=True, cwd=launch.cwd, env=environment()
            )
        expect_success(launch.argv, done.returncode, done.stderr)
        if self.check is not None and not self.check(few, done.stdout):
            raise CannotRun(f"{self.name}: the output of {few} jobs is not as expected")
        self.launch = self.make_launch(self.jobs)

    def measure(self):
        self.launch.before()
        with open(self.launch.stdin, "rb") as stdin:
            reader = self.reader()
            begin = time.perf_counter()
            process = subprocess.Popen(
                self.launch.argv,
                stdin=stdin,
                stdout=reader.stdin if reader else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self.launch.cwd,
                env=environment(),
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if reader:
                reader.communicate()
            elapsed = time.perf_counter() - begin
        expect_success(self.launch.argv, process.returncode, b"")
        cpu = usage.ru_utime + usage.ru_stime
        return {self.name: Sample(elapsed / self.jobs, cpu / self.jobs)}

    def reader(self):
        if self.sink != "pipe":
            return None
        command = ["cat"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def finish(self):
        pass


class PeakMemory:
    """The high-water marks of a command's own processes, summed (peak_memory.cc)."""

    def __init__(self, name, tool, launch):
        self.name = name
        self.tool = tool
        self.launch = launch

    def variants(self):
        return [self.name]

    def prepare(self):
        pass

    def measure(self):
        self.launch.before()
        with open(self.launch.stdin, "rb") as stdin:
            done = subprocess.run(
                [self.tool, *self.launch.argv],
                stdin=stdin,
                capture_output=True,
                cwd=self.launch.cwd,
                env=environment(),
            )
        expect_success(self.launch.argv, done.returncode, done.stderr)
        total = int(done.stdout.split()[0])
        if total == 0:
            raise CannotRun(f"{self.name}: it ended before its memory could be looked at")
        return {self.name: Sample(total / 1024)}

    def finish(self):
        pass


@dataclasses.dataclass
class Limit:
    """A bound on `of / beside`; on `of - beside` with `difference`; on `of` without `beside`."""

    of: str
    beside: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    difference: bool = False

    def value(self, row):
        if self.beside is None:
            return row.median(self.of)
        if self.difference:
            return statistics.median(a - b for a, b in row.pairs(self.of, self.beside))
        return row.ratio(self.of, self.beside)

    def holds(self, value):
        return value <= self.at_most if self.at_least is None else value >= self.at_least

    def what(self):
        if self.beside is None:
            return self.of
        return f"{self.of} {'-' if self.difference else '/'} {self.beside}"

    def is_ratio(self):
        return self.beside is not None and not self.difference


@dataclasses.dataclass
class Row:
    name: str
    title: str
    sources: list
    limits: list[Limit]
    reference: str | None
    unit: str = "time"
    rounds: int | None = None  # None: as many as asked for
    notes: list[str] = dataclasses.field(default_factory=list)
    samples: dict = dataclasses.field(default_factory=dict)  # variant -> [Sample]
    problems: list[str] = dataclasses.field(default_factory=list)

    def run(self, rounds, progress):
        sources = [s for s in list(self.sources) if self.attempt(s, s.prepare)]
        for number in range(self.rounds or rounds):
            progress(self, number + 1, self.rounds or rounds)
            for i in range(len(sources)):
                self.sample(sources[(i + number) % len(sources)])
        for source in sources:
            source.finish()

    def attempt(self, source, step):
        try:
            return step() or True
        except (CannotRun, OSError) as error:
            names = ", ".join(source.variants())
            self.problems.append(str(error) if names in str(error) else f"{names}: {error}")
            self.sources.remove(source)
            return False

    def sample(self, source):
        if source not in self.sources:
            return
        found = self.attempt(source, source.measure)
        for variant, sample in (found or {}).items():
            self.samples.setdefault(variant, []).append(sample)

    def values(self, variant):
        return [sample.value for sample in self.samples.get(variant, [])]

    def median(self, variant):
        return statistics.median(self.values(variant))

    def pairs(self, variant, beside):
        return list(zip(self.values(variant), self.values(beside)))

    def ratio(self, variant, beside):
        return statistics.median(a / b for a, b in self.pairs(variant, beside))

    def has(self, *variants):
        return all(self.samples.get(variant) for variant in variants if variant is not None)


def in_order(expected_of_job):
    """A check that the output is that of the jobs, one after the other."""

    def check(jobs, printed):
        return printed == b"".join(expected_of_job(number) for number in range(1, jobs + 1))

    return check


def in_any_order(expected_of_job):
    """A check that the lines are those of the jobs, for peers that don't keep the order."""

    def check(jobs, printed):
        expected = b"".join(expected_of_job(number) for number in range(1, jobs + 1))
        return sorted(printed.splitlines()) == sorted(expected.splitlines())

    return check
