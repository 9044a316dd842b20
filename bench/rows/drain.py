"""Builds that do nothing, 2 at a time: what the drain and its records cost on top of bash."""

import os
import subprocess

from home import WORK, Home, remove
from machine import alternate, reap, timed, until
from table import Line, Target


def measure(rounds, quick):
    count = 200 if quick else 1000
    script = composed_script()

    def ours():
        home = Home("drain")
        home.entries(count)
        used = timed(lambda: home.build().wait())
        assert home.finished() == min(count, 500), "not all builds have a record"
        return used

    def xargs():
        command = f"seq {count} | xargs -P2 -I{{}} bash {script} > /dev/null 2>&1"
        return timed(lambda: subprocess.run(["bash", "-c", command], check=True))

    def parallel():
        results = WORK / "parallel"
        remove(results)
        command = f"seq {count} | parallel -j2 --results {results} bash {script} '#' {{}} > /dev/null 2>&1"
        return timed(lambda: subprocess.run(["bash", "-c", command], check=True))

    took = alternate(rounds, {"ours": ours, "limit": xargs, "tsp": lambda: task_spooler(count, script), "parallel": parallel})
    lines = []
    for figure, name in (("wall", "wall"), ("cpu", "CPU")):
        each = {side: took[side][figure] / count * 1e3 for side in took}
        for peer, peer_name in (("tsp", "task-spooler"), ("parallel", "GNU parallel")):
            lines.append(
                Line(
                    f"drain of {count:,} builds, {name} per build",
                    "ms",
                    each["ours"],
                    each[peer],
                    each["limit"],
                    (Target("<=", 1, "peer"), Target("<=", 2.5, "limit")),
                    f"{peer_name}; xargs -P2 bash",
                )
            )
    return lines


def composed_script():
    """The very script that a build runs, from its record."""
    home = Home("drain")
    home.entries(1)
    home.build().wait()
    script = WORK / "build.sh"
    [record] = (home.dir / "builds").glob("*/build.sh")
    script.write_bytes(record.read_bytes())
    return script


def task_spooler(count, script):
    """All are queued behind one that waits; measured from its end, as our queue is filled beforehand too."""
    dir = WORK / "tsp"
    remove(dir)
    dir.mkdir()
    environment = {
        **os.environ,
        "TS_SOCKET": str(dir / "socket"),
        "TMPDIR": str(dir),
        "TS_MAXCONN": str(count + 10),
        "TS_MAXFINISHED": str(count + 10),
    }

    def tsp(*arguments):
        return subprocess.run(["tsp", *arguments], env=environment, check=True, stdout=subprocess.PIPE).stdout

    go = dir / "go"
    tsp("-S", "1")
    tsp("bash", "-c", f"until [ -e {go} ]; do sleep 0.01; done")
    for _ in range(count):
        last = tsp("bash", str(script)).decode().strip()

    def run():
        go.touch()
        tsp("-S", "2")
        tsp("-w", last)

    used = timed_until_gone(run, tsp)
    return used
