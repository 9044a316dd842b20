"""An installation of amp_ci to measure in: chunks, entries, and `build` on them."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent
WORK = BENCH / ".work"
HOMES = WORK / "homes"
PROGRAMS = BENCH.parent / "target" / "release"
COMMIT = "84ce5aeb5cbfe12bf72096f34d93c9f5d148e997"

# Entries that wait are numbered from here; what queue_build adds comes after them.
FIRST = 1_000_000_000


_numbers = itertools.count()


def fresh(name):
    """A new directory. Nothing is removed while we measure."""
    dir = HOMES / f"{next(_numbers)}-{name}"
    dir.mkdir(parents=True)
    return dir


class Home:
    """An empty one each time, with chunks that do nothing but say when (by a variable of bash, not a program)."""

    def __init__(self, name, build_packages="true"):
        self.dir = fresh(name)
        for part in ("queue", "scripts", "builds", "mail", "work"):
            (self.dir / part).mkdir(parents=True)
        self.queue = self.dir / "queue"
        self.chunk("checkout_repos", "echo $EPOCHREALTIME")
        self.chunk("build_packages", build_packages)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AMP_CI_")},
            "AMP_CI_HOME": str(self.dir),
            "AMP_CI_SMTP_URL": f"file://{self.dir}/mail",
            "AMP_CI_MAIL_FROM": "amp_ci@example.org",
            "AMP_CI_MAIL_FALLBACK": "root@example.org",
            "AMP_CI_WORK_DIR": str(self.dir / "work"),
        }

    def chunk(self, name, text):
        (self.dir / "scripts" / name).write_text(text + "\n")

    def entries(self, count, repositories=50):
        """Puts requests into the queue as files, not durably; each has a commit of its own, or it would not be built again."""
        for n in range(count):
            request = {
                "repository": f"amp_{n % repositories}",
                "ref": "refs/heads/main",
                "commit_id": f"{n + 1:040x}",
                "committer_name": "bdwheele",
                "committer_email": "bdwheele@example.org",
            }
            (self.queue / f"build-{FIRST + n}.000000000").write_text(json.dumps(request))

    def queue_build(self, branch="main"):
        """The command for one durable entry."""
        return [
            PROGRAMS / "queue_build",
            "--home",
            self.dir,
            "amp_mgms",
            f"refs/heads/{branch}",
            COMMIT,
            "bdwheele",
            "bdwheele@example.org",
        ]

    def build(self, threads=2):
        """Starts `build`."""
        command = [PROGRAMS / "amp_build", "--threads", str(threads)]
        return subprocess.Popen(command, env=self.environment)

    def started(self, id):
        """When the script of a build ran its first line, or None."""
        try:
            output = (self.dir / "builds" / id / "output.log").read_text()
        except FileNotFoundError:
            return None
        times = [line for line in output.splitlines() if line.replace(".", "").isdigit()]
        return float(times[0]) if times else None

    def finished(self):
        """How many builds have their final record."""
        return sum(1 for _ in (self.dir / "builds").glob("*/result.json"))


def remove(dir):
    if dir.exists():
        shutil.rmtree(dir)
