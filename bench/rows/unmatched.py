"""A signed push whose rules do not match: a deleted branch."""

from server import BARE, SHIPPED, WEBHOOK, WEBHOOKD, Push, Server
from sides import compare
from table import Target

NOTE = "webhook; bare axum with HMAC and Value"


def measure(rounds, quick):
    push = Push(deleted=True)
    sides = {
        "ours": (lambda: Server(WEBHOOKD, SHIPPED), 200),
        "peer": (lambda: Server(WEBHOOK, SHIPPED), 200),
        "limit": (lambda: Server(BARE, path="/value"), 200),
    }
    targets = (Target(">=", 3, "peer"), Target(">=", 1, "limit"))
    return compare("signed push, rules do not match", sides, push, rounds, quick, targets, NOTE)
