"""Three daemons under the same load, in turn."""

from machine import alternate
from table import Line


def compare(what, sides, push, rounds, quick, targets, note, connections=16):
    """`sides` names what starts each daemon, and the status with which it is to answer."""

    def under_load(start, status):
        with start() as server:
            server.expect(push, status)
            return server.load(push, connections, 1 if quick else 4)

    took = alternate(rounds, {name: lambda side=side: under_load(*side) for name, side in sides.items()})
    return [
        Line(f"{what}, {connections} connections: {name}", unit, *(took[side][figure] for side in ("ours", "peer", "limit")), goals, note)
        for figure, name, unit, goals in (
            ("rate", "requests", "1/s", targets),
            ("cpu", "CPU for each", "µs", ()),
            ("p99", "p99", "ms", ()),
        )
    ]
