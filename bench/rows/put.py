"""What one durable entry costs: the calls alone, and as a program that is started for it."""

from home import BENCH, WORK, Home, fresh
from machine import alternate, number
from table import Line, Target


def measure(rounds, quick):
    count = 50 if quick else 200
    home = Home("put")
    plain = fresh("put-plain")
    original = fresh("put-original")
    (original / "queue").mkdir()
    script = original / "queue_build.py"
    script.write_text((BENCH / "original" / "queue_build.py").read_text())

    spawn, put = WORK / "spawn", WORK / "put"
    queue_build = home.queue_build()
    python = ["/usr/bin/python3", script, *queue_build[-5:]]
    took = alternate(
        rounds,
        {
            "alone": lambda: {"each": number([put, plain, count])},
            "ours": lambda: {"each": number([spawn, count, *queue_build])},
            "peer": lambda: {"each": number([spawn, count // 5, *python])},
            "limit": lambda: {"each": number([spawn, count, put, plain, 1])},
        },
    )
    return [
        Line("durable put alone", "µs", limit=took["alone"]["each"], note="; write, fsync, rename, fsync in C"),
        Line(
            "queue_build, started for one put",
            "µs",
            *(took[side]["each"] for side in ("ours", "peer", "limit")),
            (Target("<=", 1.1, "limit"),),
            "Python without fsync; the same put in C, started for it",
        ),
    ]
