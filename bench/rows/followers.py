"""Ten people follow the output of a build that writes as fast as it can: what that costs the build."""

import subprocess
import time

from home import FIRST, PROGRAMS, Home
from machine import alternate, until
from page import Site
from table import Line, Target


def measure(rounds, quick):
    megabytes = 64 if quick else 512
    took = alternate(rounds, {"followed": lambda: build(megabytes, 10), "alone": lambda: build(megabytes, 0)})
    return [
        Line(
            f"output of {megabytes} MiB while ten follow it",
            "MB/s",
            took["followed"]["rate"],
            limit=took["alone"]["rate"],
            targets=(Target(">=", 0.97, "limit"),),
            note="; nobody follows it",
        )
    ]


def build(megabytes, followers):
    home = Home("followers")
    home.chunk("build_packages", f"until [ -e {home.dir}/go ]; do sleep 0.01; done; yes | head -c {megabytes}M")
    home.entries(1)
    with Site([PROGRAMS / "statusd", "--home", home.dir, "--listen"]) as site:
        build = home.build()
        until(lambda: home.started(f"{FIRST}.000000000"))
        url = f"http://127.0.0.1:{site.port}/builds/{FIRST}.000000000/output.log?follow"
        people = [subprocess.Popen(["curl", "-sN", url], stdout=subprocess.DEVNULL) for _ in range(followers)]
        time.sleep(0.5)
        start = time.monotonic()
        (home.dir / "go").touch()
        build.wait()
        took = time.monotonic() - start
        for person in people:
            person.wait()
    return {"rate": megabytes * 1.048576 / took}
