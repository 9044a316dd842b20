"""Runs the rows, each side in turn, and prints the table."""

import argparse
import importlib
import platform
import subprocess
import sys
import time

from home import BENCH, HOMES, remove
from table import table

ROWS = ["rejected", "unmatched", "true", "push", "burst", "put", "drain", "depth", "arrival", "many", "output", "followers", "page", "load", "second", "daemon"]


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures amp_ci beside what a user would pick instead.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within two minutes")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (all)")
    arguments = parser.parse_args()
    for row in arguments.rows:
        if row not in ROWS:
            parser.error(f"{row}: no such row; there are {', '.join(ROWS)}")

    sys.path.insert(0, str(BENCH / "rows"))
    remove(HOMES)
    lines = []
    for row in arguments.rows or ROWS:
        start = time.monotonic()
        print(f"{row} ...", end="", file=sys.stderr, flush=True)
        lines += importlib.import_module(row).measure(2 if arguments.quick else 5, arguments.quick)
        print(f" {time.monotonic() - start:.0f} s", file=sys.stderr)
    # Only now: ext4 searches past what was deleted in the last minutes whenever it makes a file.
    remove(HOMES)
    print(machine())
    print(table(lines))


def machine():
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU"
    )
    cores = subprocess.run(["nproc"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    place = subprocess.run(
        ["findmnt", "-no", "FSTYPE", "-T", BENCH], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    return f"{cores} cores of {model}, {place}, Linux {platform.release()}\n"


if __name__ == "__main__":
    main()
