"""A deep queue: what it costs until the first build starts, for each build then, and in memory."""

import os
import signal
import time

from home import FIRST, Home
from machine import alternate, memory_of, until
from table import Line, Target

DEPTHS = (1_000, 10_000, 100_000)


def measure(rounds, quick):
    builds = 100 if quick else 500
    took = alternate(rounds if not quick else 1, {depth: lambda depth=depth: drain_from(depth, builds) for depth in DEPTHS})
    lines = []
    for depth in DEPTHS:
        figures = took[depth]
        deepest = depth == DEPTHS[-1]
        lines += [
            Line(
                f"{depth:,} entries wait: first build started after",
                "ms",
                figures["first"] * 1e3,
                targets=(Target("<=", 1000),) if deepest else (),
            ),
            Line(
                f"{depth:,} entries wait: each build then; limit: the same at {DEPTHS[0]:,}",
                "ms",
                figures["each"] * 1e3,
                limit=took[DEPTHS[0]]["each"] * 1e3,
                targets=(Target("<=", 1.2, "limit"),) if depth != DEPTHS[0] else (),
            ),
            Line(
                f"{depth:,} entries wait: memory of build at its peak",
                "MB",
                figures["memory"],
                targets=(Target("<=", 64),) if deepest else (),
            ),
        ]
    return lines


def drain_from(depth, builds):
    home = Home("depth")
    home.entries(depth)
    os.sync()
    first, later = (f"{FIRST + n}.000000000" for n in (0, builds))
    launched = time.time()
    build = home.build()
    until(lambda: home.started(later))
    memory = memory_of(build.pid, "VmHWM")
    build.send_signal(signal.SIGTERM)
    build.wait()
    first, later = home.started(first), home.started(later)
    return {"first": first - launched, "each": (later - first) / builds, "memory": memory}
