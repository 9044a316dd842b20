"""A hook that runs /bin/true and waits for it."""

import json

from home import WORK
from machine import alternate, number
from server import BARE, WEBHOOK, WEBHOOKD, Push, Server
from sides import compare
from table import Line, Target

HOOKS = json.dumps([{"id": "true", "execute-command": "/bin/true", "include-command-output-in-response": True}])
PATH = "/webhook/true"
NOTE = "webhook; bare axum with tokio's Command"


def measure(rounds, quick):
    sides = {
        "ours": (lambda: Server(WEBHOOKD, HOOKS, PATH), 200),
        "peer": (lambda: Server(WEBHOOK, HOOKS, PATH), 200),
        "limit": (lambda: Server(BARE, path="/command"), 200),
    }
    targets = (Target(">=", 1.3, "peer"), Target(">=", 0.95, "limit"))
    lines = compare("hook that runs /bin/true", sides, Push(), rounds, quick, targets, NOTE)
    spawn = alternate(rounds, {"limit": lambda: {"each": number([WORK / "spawn", 200, "/bin/true"])}})
    return [*lines, Line("/bin/true alone, one after the other", "µs", limit=spawn["limit"]["each"], note="; posix_spawn, exec, wait in C")]
