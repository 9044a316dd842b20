"""A push that arrives while `build` runs: from its acceptance, which is its name, to the first line of its script."""

import signal
import subprocess
from statistics import median

from home import Home
from machine import until
from table import Line, Target


def measure(rounds, quick):
    home = Home("arrival", build_packages="[ $AMP_CI_BRANCH = main ] || exec sleep 1000")
    # Something else runs all the time, so that `build` stays.
    queue(home, "long")
    build = home.build()
    until(lambda: any((home.dir / "builds").iterdir()))

    waits = []
    for _ in range(20 if quick else 100):
        id = queue(home, "main")
        started = until(lambda: home.started(id))
        waits.append(started - float(id))
        until(lambda: (home.dir / "builds" / id / "result.json").exists())
    build.send_signal(signal.SIGTERM)
    build.wait()
    return [
        Line(
            "a push arrives while build runs: queued to started, median",
            "ms",
            median(waits) * 1e3,
            targets=(Target("<=", 20),),
        )
    ]


def queue(home, branch):
    said = subprocess.run(home.queue_build(branch), env=home.environment, check=True, stdout=subprocess.PIPE, text=True)
    return said.stdout.strip().removeprefix("queued build-")
