"""From a push to its durable entry, as shipped: the answer comes when it is on the disk."""

import subprocess
import time

from home import BENCH, WORK, Home, fresh
from machine import alternate
from server import SHIPPED, WEBHOOK, WEBHOOKD, Push, Server
from table import Line, Target

NOTE = "webhook, Python, no fsync; spawn and put in C"


def measure(rounds, quick):
    seconds = 1 if quick else 5
    push = Push()
    lines = []
    for connections in (1, 8):

        def ours():
            with shipped() as server:
                return loaded(server)

        def peer():
            with original() as server:
                return loaded(server)

        def loaded(server):
            server.expect(push, 200)
            return server.load(push, connections, seconds)

        def limit():
            return {"rate": puts_in_c(connections, 200 // connections)}

        took = alternate(rounds, {"ours": ours, "peer": peer, "limit": limit})
        what = f"push to durable entry, {connections} connection{'s' if connections > 1 else ''}"
        rates = [took[side]["rate"] for side in ("ours", "peer", "limit")]
        lines += [
            Line(what, "1/s", *rates, (Target(">=", 15, "peer"), Target(">=", 0.8, "limit")), NOTE),
            *(Line(f"{what}: {figure}", "ms", took["ours"][figure], took["peer"][figure], note=NOTE) for figure in ("p50", "p99")),
        ]
    return lines


def shipped():
    """webhookd and queue_build in a home of their own."""
    home = Home("push")
    server = Server(WEBHOOKD, SHIPPED, environment=home.environment, log=True)
    server.queue = home.queue
    return server


def original():
    """The peer, with the stand-in for the original's queue_build.py."""
    dir = fresh("original")
    (dir / "queue").mkdir()
    script = dir / "queue_build.py"
    script.write_text((BENCH / "original" / "queue_build.py").read_text())
    script.chmod(0o755)
    hooks = SHIPPED.replace('"execute-command": "queue_build"', f'"execute-command": "{script}"')
    server = Server(WEBHOOK, hooks, log=True)
    server.queue = dir / "queue"
    return server


def puts_in_c(parallel, count):
    """How many of a program that does one put can be started and waited for in a second."""
    start = time.monotonic()
    spawners = []
    for _ in range(parallel):
        command = [WORK / "spawn", str(count), WORK / "put", fresh("put"), "1"]
        spawners.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    assert all(spawner.wait() == 0 for spawner in spawners)
    return parallel * count / (time.monotonic() - start)
