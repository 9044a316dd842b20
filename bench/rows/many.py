"""Many builds at once, all asleep: what each costs `build` itself."""

import os
import time

from home import Home
from machine import cpu_of, memory_of, until
from table import Line, Target

IDLE = 2


def measure(rounds, quick):
    one, _ = asleep(1)
    memory, cpu = asleep(500)
    return [
        Line("500 builds asleep: memory of build for each", "kB", (memory - one) / 499 * 1e3, targets=(Target("<=", 100),)),
        Line("500 builds asleep: CPU of build", "ms/s", cpu * 1e3, targets=(Target("<=", 1),)),
    ]


def asleep(count):
    """Memory (MB) and CPU (seconds per second) of `build` while so many builds sleep."""
    home = Home("many")
    # Opened for reading, a pipe waits for its writer.
    wake = home.dir / "wake"
    os.mkfifo(wake)
    home.chunk("build_packages", f"cat {wake}")
    home.entries(count, repositories=count)
    build = home.build(threads=count)
    until(lambda: all_asleep(home, count))
    # What came with the last ones.
    time.sleep(0.5)
    before = cpu_of(build.pid)
    time.sleep(IDLE)
    figures = memory_of(build.pid, "VmRSS"), (cpu_of(build.pid) - before) / IDLE
    while build.poll() is None:
        try:
            os.close(os.open(wake, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pass  # Nobody waits at this moment.
        time.sleep(0.05)
    return figures


def all_asleep(home, count):
    logs = list((home.dir / "builds").glob("*/output.log"))
    time.sleep(0.05)
    return len(logs) == count and all("+ cat" in log.read_text() for log in logs)
