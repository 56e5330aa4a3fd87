#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures tine beside bare references and its peers, as `./dev bench` does.

Prints a table for each row and whether the limits hold. It asserts nothing: the exit status is 0
unless something that was to be measured could not be run.
"""

import argparse
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True

import report
from launchers import PACKAGES, Tools
from rows import ROWS

ROOT = pathlib.Path(__file__).resolve().parent.parent


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    release = ROOT / "build" / "release"
    parser.add_argument("--tine", default=str(release / "tine"), help="the command under test")
    parser.add_argument("--programs", default=str(release / "bench"), help="bench/ as built")
    parser.add_argument("--rows", default="", metavar="NAME,...", help="only these rows")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--rounds", type=int, help="rounds for each row (9; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="few rounds, a fifth of the jobs")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables to FILE as well")
    return parser.parse_args()


def chosen_rows(names):
    if not names:
        return list(ROWS)
    unknown = [name for name in names.split(",") if name not in ROWS]
    if unknown:
        sys.exit(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names.split(",")


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def progress(row, number, rounds):
    show_progress(f"{row.name}: round {number} of {rounds}")


def measure(asked, tools):
    rounds = asked.rounds or (3 if asked.quick else 9)
    rows = []
    for name in chosen_rows(asked.rows):
        row = ROWS[name](tools)
        row.run(rounds, progress)
        show_progress("")
        print(report.as_text(row), flush=True)
        rows.append(row)
    return rows


def command_line(asked):
    words = ["./dev", "bench"]
    words += ["--quick"] if asked.quick else []
    words += ["--rows", asked.rows] if asked.rows else []
    words += ["--rounds", str(asked.rounds)] if asked.rounds else []
    return " ".join(words)


def main():
    asked = options()
    if asked.list:
        print("\n".join(ROWS))
        return 0
    where = report.machine(asked.programs)
    print(where)
    with tempfile.TemporaryDirectory(prefix="tine-bench-") as scratch:
        tools = Tools(asked.tine, asked.programs, scratch, asked.quick)
        if tools.find("tiny") is None:
            sys.exit(f"no bench programs in {asked.programs}: build them first (./dev build)")
        rows = measure(asked, tools)
    for name in tools.missing:
        print(f"\nmissing, so left out: {name} ({PACKAGES.get(name, name)})")
    if asked.markdown:
        text = report.as_markdown(rows, command_line(asked), where, tools.missing)
        pathlib.Path(asked.markdown).write_text(text)
    return 1 if any(row.problems for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
