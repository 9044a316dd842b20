"""A build that writes a lot: how fast it comes through, and what it costs in memory."""

import subprocess
import time

from home import Home, fresh
from machine import alternate, memory_of
from table import Line, Target

LINE = "The quick brown fox jumps over the lazy dog, and compiles another file of the library."


def measure(rounds, quick):
    megabytes = 256 if quick else 1024

    def through_build(megabytes, secrets=0):
        home = Home("output", f"yes '{LINE}' | head -c {megabytes}M")
        home.environment |= {f"SECRET_{n}": f"none of the lines has {n}" for n in range(secrets)}
        home.entries(1)
        start, peak = time.monotonic(), 0
        build = home.build()
        while build.poll() is None:
            peak = memory_of(build.pid, "VmHWM") or peak
            time.sleep(0.005)
        took = time.monotonic() - start
        return {"rate": megabytes * 1.048576 / took, "memory": peak}

    def into_file():
        script = fresh("output") / "build.sh"
        script.write_text(f"yes '{LINE}' | head -c {megabytes}M\n")
        start = time.monotonic()
        subprocess.run(["bash", "-c", f"bash {script} > {script.parent}/output.log"], check=True)
        return {"rate": megabytes * 1.048576 / (time.monotonic() - start)}

    took = alternate(
        rounds,
        {
            "ours": lambda: through_build(megabytes),
            "masked": lambda: through_build(megabytes, 8),
            "limit": into_file,
            "little": lambda: through_build(1),
        },
    )
    return [
        Line(
            f"output of {megabytes} MiB through the record",
            "MB/s",
            took["ours"]["rate"],
            limit=took["limit"]["rate"],
            targets=(Target(">=", 0.5, "limit"),),
            note="; bash build.sh > file",
        ),
        Line(
            f"output of {megabytes} MiB while eight secrets are looked for",
            "MB/s",
            took["masked"]["rate"],
            limit=took["ours"]["rate"],
            targets=(Target(">=", 0.9, "limit"),),
            note="; without secrets",
        ),
        Line(
            f"output of {megabytes} MiB: memory of build at its peak",
            "MB",
            took["ours"]["memory"],
            limit=took["little"]["memory"],
            targets=(Target("<=", 1.2, "limit"),),
            note="; the same with 1 MiB",
        ),
    ]
