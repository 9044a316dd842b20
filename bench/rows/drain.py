"""Builds that do nothing, 2 at a time: what the drain and its records cost on top of bash."""

import os
import subprocess

from home import HOMES, Home, fresh
from machine import alternate, timed
from table import Line, Target


# It keeps a connection open for each job that waits, and has no room for a thousand of them.
MOST_OF_TASK_SPOOLER = 500


def measure(rounds, quick):
    count = 200 if quick else 1000
    counts = {"task-spooler": min(count, MOST_OF_TASK_SPOOLER)}
    script, empty = HOMES / "build.sh", HOMES / "empty.sh"
    script.write_bytes(composed_script())
    empty.write_text("")

    def ours():
        home = Home("drain")
        home.entries(count)
        return timed(lambda: home.build().wait())

    def shell(command):
        return timed(lambda: subprocess.run(["bash", "-c", f"seq {count} | {command} > /dev/null 2>&1"], check=True))

    took = alternate(
        rounds,
        {
            "ours": ours,
            "xargs": lambda: shell(f"xargs -P2 -I{{}} bash {script} {{}}"),
            "empty": lambda: shell(f"xargs -P2 -I{{}} bash {empty} {{}}"),
            "task-spooler": lambda: task_spooler(counts["task-spooler"], script),
            "GNU parallel": lambda: shell(f"parallel -j2 --results {fresh('parallel')} bash {script}"),
        },
    )
    lines = []
    for figure, name in (("wall", "wall"), ("cpu", "CPU")):
        each = {side: took[side][figure] / counts.get(side, count) * 1e3 for side in took}
        for peer, limit, limit_is, target in (
            ("task-spooler", "xargs", "xargs -P2 bash", Target("<=", 2.5, "limit")),
            ("GNU parallel", "empty", "xargs -P2 bash, an empty script", None),
        ):
            lines.append(
                Line(
                    f"drain of {count:,} builds, {name} per build",
                    "ms",
                    each["ours"],
                    each[peer],
                    each[limit],
                    (Target("<=", 1, "peer"), *([target] if target else [])),
                    f"{peer}; {limit_is}",
                )
            )
    return lines


def composed_script():
    """The very script that a build runs, from its record."""
    home = Home("script")
    home.entries(1)
    home.build().wait()
    [script] = (home.dir / "builds").glob("*/build.sh")
    return script.read_bytes()


def task_spooler(count, script):
    """All are queued behind one that waits, and measured from its end: our queue is filled beforehand too."""
    dir = fresh("task-spooler")
    environment = {
        **os.environ,
        "TS_SOCKET": str(dir / "socket"),
        "TMPDIR": str(dir),
        "TS_MAXCONN": str(count + 10),
        "TS_MAXFINISHED": str(count + 10),
    }

    def tsp(*arguments):
        return subprocess.run(["tsp", *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def run():
        go.touch()
        tsp("-S", "2")
        tsp("-w", last)
        tsp("-K")

    go = dir / "go"
    tsp("bash", "-c", f"until [ -e {go} ]; do sleep 0.01; done")
    for _ in range(count):
        last = tsp("bash", str(script)).strip()
    return timed(run)
