# SPDX-License-Identifier: MIT
"""Tables of what bench/run.py measured: for a terminal and as Markdown. No date and no paths, so
that docs/performance.md changes only where figures do.
"""

import os
import platform
import re
import statistics
import subprocess


def first_match(path, pattern):
    try:
        with open(path) as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return "unknown"
    return found.group(1) if found else "unknown"


def compiler(programs):
    """Of the build that is measured, asked by way of its CMake cache."""
    cache = os.path.join(programs, "..", "CMakeCache.txt")
    path = first_match(cache, r"^CMAKE_CXX_COMPILER:\w+=(.*)$")
    build_type = first_match(cache, r"^CMAKE_BUILD_TYPE:\w+=(.*)$")
    if path == "unknown":
        return path
    done = subprocess.run([path, "--version"], capture_output=True, text=True)
    return f"{done.stdout.splitlines()[0]}, {build_type} build"


def machine(programs):
    model = first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$")
    memory = int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)")) / 1024 / 1024
    kernel = re.match(r"[\d.]+", platform.release()).group()
    system = first_match("/etc/os-release", r'^PRETTY_NAME="(.*)"$')
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores ({model}), {memory:.0f} GiB, Linux {kernel}, {system}, "
        f"{compiler(programs)}"
    )


def show(value, unit):
    if unit == "memory":
        return f"{value:.1f} MiB"
    for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        scaled = value * factor
        if abs(scaled) >= 1:
            break
    decimals = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:.{decimals}f} {name}"


def cpu(row, variant):
    known = [sample.cpu for sample in row.samples[variant] if sample.cpu is not None]
    return show(statistics.median(known), "time") if known else ""


def jobs_of(row):
    """Variant -> jobs a round, for the sources that know."""
    return {s.variants()[0]: f"{s.jobs:,}" for s in row.sources if hasattr(s, "jobs")}


def variants_of(row):
    """In the order in which the row names its sources, not in that in which they ran."""
    named = [variant for source in row.sources for variant in source.variants()]
    return [variant for variant in named if row.has(variant)]


HEADER = ["", "median", "min", "/ reference", "/ tine", "CPU", "jobs"]


def ratio(row, variant, beside):
    return f"{row.ratio(variant, beside):.2f}" if beside is not None and row.has(beside) else ""


def cells(row, variant, ours, jobs):
    return [
        variant,
        show(row.median(variant), row.unit),
        show(min(row.values(variant)), row.unit),
        ratio(row, variant, row.reference),
        ratio(row, variant, ours),
        cpu(row, variant),
        jobs.get(variant, ""),
    ]


def lines_of(row):
    """The cells of a row's table, header first; columns without any content are left out."""
    ours = next((name for name in row.samples if name.startswith("tine")), None)
    jobs = jobs_of(row)
    lines = [HEADER, *(cells(row, variant, ours, jobs) for variant in variants_of(row))]
    kept = [i for i in range(len(HEADER)) if i == 0 or any(line[i] for line in lines[1:])]
    return [[line[i] for i in kept] for line in lines]


def verdict(row, limit):
    """What is limited, the figure, the limit, how it stands."""

    def written(value):
        return f"{value:.2f}" if limit.is_ratio() else show(value, row.unit)

    lower = limit.at_least is not None
    bound = ("at least " if lower else "at most ") + written(
        limit.at_least if lower else limit.at_most
    )
    if not row.has(limit.of, limit.beside):
        return limit.what(), "?", bound, "not measured"
    value = limit.value(row)
    return limit.what(), written(value), bound, "holds" if limit.holds(value) else "MISSED"


def as_text(row):
    lines = lines_of(row)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [f"\n{row.name}: {row.title}"]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        text.append("  " + "  ".join(cells).rstrip())
    for limit in row.limits:
        what, figure, bound, state = verdict(row, limit)
        text.append(f"  {state}: {what} = {figure}, {bound}")
    text += [f"  note: {note}" for note in row.notes]
    text += [f"  could not run: {problem}" for problem in row.problems]
    return "\n".join(text)


def table(lines, texts=1):
    """A Markdown table: so many columns of text, then figures."""
    rule = ["---"] * texts + ["---:"] * (len(lines[0]) - texts)
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    escaped.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def summary(rows):
    lines = [["row", "what", "median of pairs", "limit", ""]]
    lines += [[row.name, *verdict(row, limit)] for row in rows for limit in row.limits]
    return table(lines, texts=2)


EXPLANATION = """\
Every figure is for one job (or one start, one pipeline). The variants of a row run in turn within
one run, each round starting with another; `median` and `min` are over the rounds, `/ reference` and
`/ tine` are medians of the ratios within rounds, `CPU` is user + system time of the whole tree.
Read the ratios: absolute figures move with the machine. Slow peers do fewer jobs (`jobs`), their
start-up spread over those."""


def as_markdown(rows, command, where, missing):
    parts = ["# Performance", f"Measured by `{command}` on {where}.", EXPLANATION]
    if missing:
        parts.append("Not measured, because missing: " + ", ".join(missing) + ".")
    parts += ["## Limits", summary(rows)]
    for row in rows:
        parts += [f"## {row.name}: {row.title}", table(lines_of(row)), *row.notes]
        parts += [f"Could not run: {problem}" for problem in row.problems]
    return "\n\n".join(parts) + "\n"
