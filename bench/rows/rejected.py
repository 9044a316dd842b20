"""A push with a bad signature: answered without anything else having been looked at."""

from server import BARE, SHIPPED, WEBHOOK, WEBHOOKD, Push, Server
from sides import compare
from table import Target

NOTE = "webhook; bare axum with HMAC"


def measure(rounds, quick):
    push = Push(signed=False)
    sides = {
        "ours": (lambda: Server(WEBHOOKD, SHIPPED), 403),
        # It says so in its answer, not by its status.
        "peer": (lambda: Server(WEBHOOK, SHIPPED), 200),
        "limit": (lambda: Server(BARE, path="/signature"), 403),
    }
    targets = (Target(">=", 6, "peer"), Target(">=", 0.95, "limit"))
    return compare("push with a bad signature", sides, push, rounds, quick, targets, NOTE)
