"""The daemon itself: size, start, memory."""

import os

from machine import alternate, memory_of
from server import SHIPPED, WEBHOOK, WEBHOOKD, Push, Server
from table import Line, Target

HALF = (Target("<=", 0.5, "peer"),)


def measure(rounds, quick):
    def side(program):
        with Server(program, SHIPPED) as server:
            figures = {"start": server.started_in * 1e3, "idle": memory_of(server.process.pid, "VmRSS")}
            for push in (Push(signed=False), Push(deleted=True)):
                server.load(push, 16, 1 if quick else 4)
            figures["loaded"] = memory_of(server.process.pid, "VmRSS")
        return {**figures, "size": os.path.getsize(program) / 1e6}

    took = alternate(rounds, {"ours": lambda: side(WEBHOOKD), "peer": lambda: side(WEBHOOK)})
    return [
        Line(f"daemon: {what}", unit, took["ours"][figure], took["peer"][figure], targets=HALF, note="webhook")
        for what, unit, figure in (
            ("size of the binary", "MB", "size"),
            ("start to first answer", "ms", "start"),
            ("memory, idle", "MB", "idle"),
            ("memory after load", "MB", "loaded"),
        )
    ]
