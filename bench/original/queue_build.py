#!/usr/bin/python3
"""The same work as the Python original's queue_build.py: five arguments, one JSON file named by the time."""

import argparse
import json
import time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("repository", "ref", "commit_id", "committer_name", "committer_email"):
    parser.add_argument(name)
arguments = parser.parse_args()

queue = Path(__file__).parent / "queue"
with open(queue / f"build-{time.time()}", "w") as entry:
    json.dump(vars(arguments), entry)
