# SPDX-License-Identifier: MIT
"""What bench/run.py measures: a function for each row, with its references, peers and limits.

A peer that is missing is left out and named. A slow one does fewer jobs: its figures are for one
job all the same, with its start-up spread over those that it did.
"""

import functools

from launchers import PEERS, bash, loop, moreutils, python
from measuring import Launch, Limit, Row, in_any_order, in_order

TRUE = "/bin/true"
ECHO = "/bin/echo"

BARE = "bare loop"
TINE = "tine run"
XARGS = "xargs -P2 -n1"
MOREUTILS = "moreutils parallel -j2"
PYTHON = "Python subprocess, 2 threads"
GNU = "GNU parallel -j2"
IN_ORDER, GROUPED, MIXED = " -k", " (any order)", " (mixed)"


def present(*sources):
    return [source for source in sources if source is not None]


def spawn_row(tools, mebibytes):
    tiny = tools.find("tiny")
    memory = ["--rounds", "0", "--memory", str(mebibytes)]
    few = ["--count", "50" if mebibytes < 100 else "4"]  # of what copies page tables
    bare = {
        "vfork": "vfork + exec + wait",
        "clone3": "clone3 + exec + waitid",
        "posix_spawn": "posix_spawn + waitpid",
    }
    ours = {"tine": "tine, Command::run", "tine_start": "tine, start + wait"}
    has_tine = tools.find("tine_spawn") is not None
    names = bare | ours if has_tine else bare
    program = "tine_spawn" if has_tine else "spawn_reference"
    chosen = ["--variants", ",".join(names), "--count", str(tools.jobs(200))]
    fork, boost = {"fork": "fork + exec + wait"}, {"boost": "Boost.Process v2"}
    python_name = {"python": "Python subprocess"}
    script = str(PEERS / "python_spawn.py")
    return Row(
        name=f"spawn-{mebibytes}",
        title=f"start and wait for a tiny static program, parent with {mebibytes:,} MiB",
        sources=present(
            tools.server(names, program, *memory, *chosen, tiny),
            tools.server(fork, "spawn_reference", *memory, "--variants", "fork", *few, tiny),
            tools.server(boost, "boost_spawn", *memory, *few, tiny),
            tools.server(python_name, "python", script, str(mebibytes), "20", tiny),
        ),
        reference=bare["vfork"],
        limits=[
            Limit(ours["tine"], bare["vfork"], at_most=1.10),
            Limit(ours["tine"], bare["posix_spawn"], at_most=1.0),
        ],
    )


def call_row(tools, mebibytes):
    names = {
        "fork": "fork + _exit + waitpid",
        "launch": "tine, launch + wait",
        "call": "tine, call",
    }
    few = tools.jobs(200) if mebibytes < 100 else 10  # page tables are copied
    options = ["--rounds", "0", "--memory", str(mebibytes), "--count", str(few)]
    return Row(
        name=f"call-{mebibytes}",
        title=f"an empty function in a child and its value, parent with {mebibytes:,} MiB",
        sources=present(
            tools.server(names, "tine_call", *options, "--variants", ",".join(names))
        ),
        reference=names["fork"],
        limits=[Limit(names["call"], names["fork"], at_most=1.25)],
    )


def call_elsewhere_row(tools):
    def source(variant, name, mebibytes, count):
        label = f"{name}, {mebibytes:,} MiB"
        options = ["--rounds", "0", "--memory", str(mebibytes), "--count", str(count)]
        options += ["--variants", variant]
        return label, tools.server({variant: label}, "tine_call", *options)

    def by_server(mebibytes):
        return source("server", "tine, call by the fork server", mebibytes, tools.jobs(100))

    small, with_small = by_server(10)
    large, with_large = by_server(1024)
    others = [
        source(variant, name, mebibytes, count)[1]
        for mebibytes, count in ((10, tools.jobs(100)), (1024, 20))
        for variant, name in (
            ("fork", "fork + _exit + waitpid"),
            ("spawn", "tine, call by spawn"),
        )
    ]
    return Row(
        name="call-elsewhere",
        title="an empty function and its value by the other start methods, parents of two sizes",
        sources=present(with_small, with_large, *others),
        reference=small,
        limits=[Limit(large, small, at_most=1.10)],
        notes=[
            "Each has a process of its own: what comes after a fork of 50 ms finds all caches empty."
        ],
    )


def result_row(tools, mebibytes):
    bare = {"fresh": "bare, fresh shared memory", "warm": "bare, touched by both before"}
    ours = {
        "place": "tine, call_in_place",
        "copied": "tine, call_in_place and a copy",
        "value": "tine, call",
        "pool": "tine, Pool, get_in_place",
        "poolvalue": "tine, Pool, get",
    }
    python = {"pool": "Python Pool(1).apply", "executor": "Python ProcessPoolExecutor(1)"}
    large = mebibytes > 100
    count = "1" if large else str(tools.jobs(5))
    options = ["--rounds", "0", "--size", f"{mebibytes}M", "--count", count]
    script = str(PEERS / "python_result.py")
    return Row(
        name=f"result-{mebibytes}",
        title=f"a vector<double> of {mebibytes:,} MiB, from complete in the child to added up here",
        sources=present(
            tools.server(bare | ours, "call_result", *options),
            tools.server(python, "python", script, str(mebibytes << 20)),
        ),
        reference=bare["fresh"],
        limits=[
            Limit(bare["fresh"], ours["place"], at_least=1.4),
            Limit(bare["warm"], ours["pool"], at_least=0.9),
            Limit(ours["value"], ours["copied"], at_most=1.0),
            Limit(python["pool"], ours["poolvalue"], at_least=5.0),
            Limit(python["executor"], ours["poolvalue"], at_least=5.0),
        ],
        rounds=3 if large else None,
        notes=[
            "The bare parent reads when the child says so, that of a call when the child is gone. "
            "Each call has fresh memory; a pool's is used again. Python's array('d') is not added "
            "up."
        ],
    )


def run_row(tools, name, program, title):
    jobs = tools.jobs(5000)
    few = max(jobs // 5, 500)  # for those to whom 5,000 would be long
    ours = ["run", "-j2", "--joblog", str(tools.scratch / "joblog"), program]
    return Row(
        name=name,
        title=f"{jobs:,} x {title}, two in flight; tine groups and keeps a job log",
        sources=present(
            tools.timed(BARE, "loop_reference", jobs, loop("inherit", program, "{}")),
            tools.timed(TINE, "tine", jobs, tools.on_numbers(*ours)),
            tools.timed(XARGS, "xargs", jobs, tools.on_numbers("-P2", "-n1", program)),
            tools.timed(MOREUTILS, "moreutils", jobs, moreutils(program)),
            tools.timed("make -j2", "make", jobs, tools.make(program)),
            tools.timed("ninja -j2", "ninja", few, tools.ninja(program)),
            tools.timed("bash, wait -n", "bash", few, bash(program)),
            tools.timed(PYTHON, "python", few, python("plain", program)),
            tools.timed(GNU, "gnu", few, tools.on_numbers("--will-cite", "-j2", program)),
        ),
        reference=BARE,
        limits=[
            Limit(TINE, BARE, at_most=1.15),
            Limit(GNU, TINE, at_least=5.0),
            Limit(TINE, XARGS, at_most=1.0),
        ],
    )


def capture_row(tools):
    jobs = tools.jobs(5000)
    few = max(jobs // 5, 500)  # for those to whom 5,000 would be long
    files, memfds = BARE + ", output to files", BARE + ", output to memfds"
    direct, builtin = f"{TINE} -k {ECHO} {{}}", TINE + " -k echo {}"
    ordered, any_order = in_order(lambda n: b"%d\n" % n), in_any_order(lambda n: b"%d\n" % n)
    gnu = ["--will-cite", "-j2", "-k", ECHO, "{}"]

    def numbered(*words):
        return tools.on_numbers("run", "-j2", "-k", *words, "{}")

    return Row(
        name="capture",
        title=f"{jobs:,} x echo {{}} captured and in order, two in flight",
        sources=present(
            tools.timed(files, "loop_reference", jobs, loop("files", ECHO, "{}"), ordered),
            tools.timed(memfds, "loop_reference", jobs, loop("memfd", ECHO, "{}"), ordered),
            tools.timed(direct, "tine", jobs, numbered(ECHO), ordered),
            tools.timed(builtin, "tine", jobs, numbered("echo"), ordered),
            tools.timed(
                "make -j2 -O" + GROUPED, "make", jobs, tools.make(ECHO + " {}", "-O"), any_order
            ),
            tools.timed(MOREUTILS + GROUPED, "moreutils", jobs, moreutils(ECHO), any_order),
            tools.timed(PYTHON, "python", few, python("capture", ECHO, "{}"), ordered),
            tools.timed(GNU + IN_ORDER, "gnu", few, tools.on_numbers(*gnu), ordered),
        ),
        reference=files,
        limits=[Limit(direct, files, at_most=1.3), Limit(builtin, files, at_most=1.3)],
        notes=[f"All run {ECHO}, but for `{builtin}`, where echo is a builtin of the shell."],
    )


@functools.cache
def mebibyte():
    """What the program mib prints."""
    letters = bytes(ord("a") + column % 26 for column in range(63))
    return (letters + b"\n") * 16384


def bulk_row(tools, name, sink, where):
    jobs = tools.jobs(1000)
    few = max(jobs // 5, 100)
    mib = tools.find("mib")
    memfd, files = BARE + ", memfd + sendfile", BARE + ", files + sendfile"
    make, gnu = "make -j2 -O" + GROUPED, GNU + IN_ORDER

    def timed(variant, program, count, launcher):
        whole = in_order(lambda number: mebibyte())
        return tools.timed(variant, program, count, launcher, whole, sink)

    return Row(
        name=name,
        title=f"{jobs:,} jobs x 1 MiB of output, grouped and in order, {where}",
        sources=present(
            timed(memfd, "loop_reference", jobs, loop("memfd", mib)),
            timed(files, "loop_reference", jobs, loop("files", mib)),
            timed(TINE + IN_ORDER, "tine", jobs, tools.on_numbers("run", "-j2", "-k", mib)),
            timed(make, "make", jobs, tools.make(mib, "-O")),
            tools.timed(MOREUTILS + MIXED, "moreutils", few, moreutils(mib), sink=sink),
            timed(PYTHON, "python", jobs, python("capture", mib)),
            timed(gnu, "gnu", few, tools.on_numbers("--will-cite", "-j2", "-k", mib)),
        ),
        reference=memfd,
        limits=[
            Limit(TINE + IN_ORDER, memfd, at_most=1.15),
            Limit(TINE + IN_ORDER, make, at_most=1.0),
            Limit(TINE + IN_ORDER, gnu, at_most=1.0),
        ],
        notes=["moreutils parallel 0.67 mixes such outputs and loses some KiB of 20 MiB (tried)."],
    )


def memory_row(name, title, sources):
    return Row(
        name=name,
        title=f"peak memory of {title}",
        sources=sources,
        reference=None,
        limits=[Limit(TINE, at_most=30)],
        unit="memory",
        rounds=1,
        notes=[
            "The high-water marks (VmHWM) of the command's own processes, summed: pages that they "
            "share count once for each. tine run is two processes and a guardian."
        ],
    )


def memory_of_packed(tools):
    jobs = 1_000_000
    sources = present(
        tools.peak(TINE, "tine", jobs, tools.on_numbers("run", "-j2", "-X", "true")),
        tools.peak("xargs -P2", "xargs", jobs, tools.on_numbers("-P2", "true")),
    )
    return memory_row("memory-x", "`seq 1000000 | tine run -j2 -X true`", sources)


def memory_of_single(tools):
    jobs, tiny = 100_000, tools.find("tiny")
    sources = [tools.peak(TINE, "tine", jobs, tools.on_numbers("run", "-j2", tiny))]
    if not tools.quick:
        sources.append(tools.peak(XARGS, "xargs", jobs, tools.on_numbers("-P2", "-n1", tiny)))
        sources.append(tools.peak("make -j2", "make", jobs, tools.make(tiny)))
    title = "100,000 single jobs, `seq 100000 | tine run -j2 tiny`"
    return memory_row("memory-single", title, present(*sources))


def one_job_row(tools):
    bare = "the job itself, /bin/true"
    ours, builtin = f"{TINE} {TRUE} ::: 1", TINE + " true ::: 1"
    script = f"import subprocess; subprocess.run(['{TRUE}'])"

    def started(name, program, count, *words):
        path = program if program == TRUE else tools.find(program)
        options = ["--variants", "vfork", "--rounds", "0", "--count", str(count)]
        return path and tools.server({"vfork": name}, "spawn_reference", *options, path, *words)

    return Row(
        name="one-job",
        title="one job, from start to end",
        sources=present(
            started(bare, TRUE, 20),
            started(ours, "tine", 20, "run", TRUE, ":::", "1"),
            started(builtin, "tine", 20, "run", "true", ":::", "1"),
            started("xargs", "xargs", 20, "-a", tools.numbers(1), "-n1", TRUE),
            started("make", "make", 20, "-rR", "-f", tools.makefile(1, TRUE)),
            started("moreutils parallel", "moreutils", 20, TRUE, "--", "1"),
            started("bash -c", "bash", 20, "-c", f"{TRUE}; exit 0"),
            started("Python subprocess", "python", 2, "-c", script),
            started("GNU parallel", "gnu", 1, "--will-cite", TRUE, ":::", "1"),
        ),
        reference=bare,
        limits=[
            Limit(command, bare, at_most=0.005, difference=True) for command in (ours, builtin)
        ],
    )


def pipeline_sources(tools, names, *options):
    """One process runs all variants, tine's among them where the library is built."""
    has_tine = tools.find("tine_pipeline") is not None
    program = "tine_pipeline" if has_tine else "pipeline_reference"
    names = {key: name for key, name in names.items() if has_tine or key != "tine"}
    chosen = ["--rounds", "0", "--variants", ",".join(names)]
    return present(tools.server(names, program, *chosen, *options))


def pipe_true_row(tools):
    names = {
        "vfork": "bare vfork",
        "tine": "tine, Pipeline",
        "bash": "bash -c",
        "dash": "dash -c",
        "builtin": "bash -c, builtin true",
    }
    bare, ours, shell = names["vfork"], names["tine"], names["bash"]
    return Row(
        name="pipe-true",
        title="pipeline `/bin/true | /bin/true | /bin/true`, in process",
        sources=pipeline_sources(tools, names, "--count", str(tools.jobs(50))),
        reference=bare,
        limits=[Limit(ours, bare, at_most=1.1), Limit(ours, shell, at_most=0.5)],
        notes=["The shells are started for each pipeline; with the builtin, nothing is executed."],
    )


def pipe_bulk_row(tools):
    size = "1G" if tools.quick else "4G"
    names = {"vfork": "bare vfork", "tine": "tine, Pipeline", "bash": "bash -c", "dash": "dash -c"}
    return Row(
        name="pipe-bulk",
        title=f"pipeline `head -c {size} /dev/zero | cat | wc -c`, in process",
        sources=pipeline_sources(tools, names, "--count", "1", "--size", size),
        reference=names["vfork"],
        limits=[Limit(names["tine"], names["bash"], at_most=1.0)],
    )


MAP = {"bare": "bare fork map, guided", "tine": "tine, map"}
THREADS = {"dynamic": "OpenMP dynamic", "guided": "OpenMP guided", "tbb": "TBB parallel_for"}
OF_BEST_THREADS = (THREADS["dynamic"], THREADS["tbb"])


def map_sources(tools, count, items, *options):
    """Threads are in a program of their own, for a fork wants none around."""
    words = ["--rounds", "0", "--count", str(count), "--items", str(items), *options]
    return present(
        tools.server(MAP, "tine_map", *words), tools.server(THREADS, "thread_map", *words)
    )


def map_overhead_row(tools, name, items, count, mebibytes):
    return Row(
        name=name,
        title=f"{items:,} empty items, int to int, parent with {mebibytes:,} MiB",
        sources=map_sources(tools, tools.jobs(count), items, "--memory", str(mebibytes)),
        reference=MAP["bare"],
        limits=[Limit(MAP["tine"], MAP["bare"], at_most=1.25)],
        notes=["The threads are warm, which forked workers never are: for information."],
    )


def map_work_row(tools, name, title, items, share, *options):
    """`share`: tine's speed of the best of the threads', at least."""
    return Row(
        name=name,
        title=title,
        sources=map_sources(tools, 1, items, *options),
        reference=THREADS["dynamic"],
        limits=[Limit(MAP["tine"], best, at_most=1 / share) for best in OF_BEST_THREADS],
        rounds=5 if tools.quick else 25,
        notes=[f"At least {share} of their speed: a ratio of times of at most {1 / share:.3f}."],
    )


def map_efficiency_row(tools, name, microseconds):
    items = 500_000 // microseconds
    title = f"{items:,} items of about {microseconds:,} us"
    options = ["--work", "spin", "--size", str(microseconds)]
    return map_work_row(tools, name, title, items, 0.97, *options)


def map_strings_row(tools):
    items = 1_000_000
    ours = {"loop": "a loop in this process", "tine": "tine, map"}
    python = {"python": "Python Pool(2).map, fork"}
    script = str(PEERS / "python_map.py")
    return Row(
        name="map-strings",
        title=f"{items:,} results that are strings of 20 to 200 bytes",
        sources=present(
            tools.server(ours, "map_strings", "--rounds", "0", "--count", "1", "--items", str(items)),
            tools.server(python, "python", script, str(items), "1"),
        ),
        reference=ours["loop"],
        limits=[Limit(python["python"], ours["tine"], at_least=20.0)],
    )


def map_death_row(tools, mebibytes):
    names = {"bare": "bare pidfd, waitid, fork", "tine": "tine, map"}
    few = tools.jobs(100) if mebibytes < 100 else 5  # page tables are copied
    options = ["--rounds", "0", "--memory", str(mebibytes), "--count", str(few)]
    return Row(
        name=f"map-death-{mebibytes}",
        title=f"from a worker's death to the next item in a fresh one, parent with {mebibytes:,} MiB",
        sources=present(tools.server(names, "map_death", *options)),
        reference=names["bare"],
        limits=[Limit(names["tine"], names["bare"], at_most=1.5)],
    )


def map_orphans_row(tools):
    names = {"tine": "tine, map"}
    options = ["--rounds", "0", "--count", str(tools.jobs(20))]
    return Row(
        name="map-orphans",
        title="from SIGKILL of the parent until two busy workers and a child of each are gone",
        sources=present(tools.server(names, "map_orphans", *options)),
        reference=None,
        limits=[Limit(names["tine"], at_most=0.1)],
    )


def map_memory_row(tools):
    return Row(
        name="map-memory",
        title="what 10,000,000 results of 8 bytes add to the parent's memory, all of them read",
        sources=present(tools.peak("tine, map", "map_memory", 1, lambda path, jobs: Launch([path]))),
        reference=None,
        limits=[Limit("tine, map", at_most=80e6 * 1.1 / (1 << 20))],
        unit="memory",
        rounds=3,
        notes=["VmHWM less VmRSS before; the array alone is 76.3 MiB."],
    )


POOL = {"tine": "tine, Pool"}


def pool_map_row(tools, name, items, count):
    names = {"bare": "bare warm pool, guided", "known": "the same, items there before"} | POOL
    words = ["--rounds", "0", "--work", "map", "--count", str(count), "--items", str(items)]
    return Row(
        name=name,
        title=f"{items:,} empty items, int to int, in 2 warm workers, until the results are there",
        sources=present(tools.server(names, "tine_pool", *words)),
        reference=names["bare"],
        limits=[Limit(names["tine"], names["bare"], at_most=1.25)],
    )


def pool_hot_row(tools):
    names = {"ring": "bare ring, 20 us awake, futex", "pipe": "bare pipe"} | POOL
    python = {"pool": "Python Pool(2).apply", "executor": "Python ProcessPoolExecutor(2)"}
    ours, script = names["tine"], str(PEERS / "python_pool.py")
    words = ["--rounds", "0", "--work", "hot", "--count", str(tools.jobs(50))]
    return Row(
        name="pool-hot",
        title="submit and get, one task after the other",
        sources=present(
            tools.server(names, "tine_pool", *words),
            tools.server(python, "python", script, str(tools.jobs(500))),
        ),
        reference=names["ring"],
        limits=[
            Limit(ours, names["ring"], at_most=2.0),
            Limit(python["pool"], ours, at_least=40.0),
            Limit(python["executor"], ours, at_least=40.0),
        ],
    )


def pool_parked_row(tools):
    names = {"pipe": "bare pipe, asleep in read", "ring": "bare ring, futex"} | POOL
    words = ["--rounds", "0", "--work", "parked", "--count", str(tools.jobs(30))]
    return Row(
        name="pool-parked",
        title="submit and get after a pause of 30 ms, all asleep",
        sources=present(tools.server(names, "tine_pool", *words)),
        reference=names["pipe"],
        limits=[Limit(names["tine"], names["pipe"], at_most=1.3)],
    )


def pool_rate_row(tools):
    words = ["--rounds", "0", "--work", "rate", "--count", "5", "--items", "200000"]
    return Row(
        name="pool-rate",
        title="200,000 tasks submitted one by one, then fetched, 2 workers",
        sources=present(tools.server(POOL, "tine_pool", *words)),
        reference=None,
        limits=[Limit(POOL["tine"], at_most=0.5e-6)],
        notes=["The limit is 2,000,000 tasks a second."],
    )


ROWS = {
    "spawn-10": lambda tools: spawn_row(tools, 10),
    "spawn-1024": lambda tools: spawn_row(tools, 1024),
    "call-10": lambda tools: call_row(tools, 10),
    "call-1024": lambda tools: call_row(tools, 1024),
    "call-elsewhere": call_elsewhere_row,
    "result-64": lambda tools: result_row(tools, 64),
    "result-1024": lambda tools: result_row(tools, 1024),
    "run-tiny": lambda tools: run_row(
        tools, "run-tiny", tools.find("tiny"), "a tiny static program"
    ),
    "run-true": lambda tools: run_row(tools, "run-true", TRUE, TRUE),
    "capture": capture_row,
    "bulk": lambda tools: bulk_row(tools, "bulk", "null", "to /dev/null"),
    "bulk-pipe": lambda tools: bulk_row(tools, "bulk-pipe", "pipe", "into `cat`"),
    "memory-x": memory_of_packed,
    "memory-single": memory_of_single,
    "one-job": one_job_row,
    "pipe-true": pipe_true_row,
    "pipe-bulk": pipe_bulk_row,
    "map-empty": lambda tools: map_overhead_row(tools, "map-empty", 10_000_000, 5, 10),
    "map-small": lambda tools: map_overhead_row(tools, "map-small", 1000, 200, 10),
    "map-10us": lambda tools: map_efficiency_row(tools, "map-10us", 10),
    "map-100us": lambda tools: map_efficiency_row(tools, "map-100us", 100),
    "map-1ms": lambda tools: map_efficiency_row(tools, "map-1ms", 1000),
    "map-skewed": lambda tools: map_work_row(
        tools,
        "map-skewed",
        "10,000 items, one in 100 costs 100 times the rest",
        10_000,
        0.95,
        *("--work", "skewed", "--size", "25"),
    ),
    "map-tail": lambda tools: map_work_row(
        tools,
        "map-tail",
        "10,000 items, the last one in 100 have all of the cost",
        10_000,
        0.95,
        *("--work", "tail", "--size", "50"),
    ),
    "map-strings": map_strings_row,
    "map-death-10": lambda tools: map_death_row(tools, 10),
    "map-death-1024": lambda tools: map_death_row(tools, 1024),
    "map-orphans": map_orphans_row,
    "map-memory": map_memory_row,
    "pool-map": lambda tools: pool_map_row(tools, "pool-map", 10_000_000, 5),
    "pool-map-small": lambda tools: pool_map_row(tools, "pool-map-small", 1000, tools.jobs(500)),
    "pool-hot": pool_hot_row,
    "pool-parked": pool_parked_row,
    "pool-rate": pool_rate_row,
}
