"""The second build of a repository, over a link: what is moved, and how long until its tree is checked out."""

import json
import time

from forge import Forge
from home import BENCH, FIRST, Home
from link import DELAY, RATE, Link
from machine import alternate
from table import Line, Target

# As the original checks out: all of it, each time.
ORIGINAL = """
git clone "$AMP_CI_GIT_BASE/amp_bootstrap"
git clone "$AMP_CI_GIT_BASE/$AMP_CI_REPOSITORY"
cd "$AMP_CI_REPOSITORY"; git checkout "$AMP_CI_COMMIT_ID"; git submodule update --init --recursive
"""
SHIPPED = (BENCH.parent / "scripts" / "checkout_repos").read_text()
LINK = f"{RATE * 8 / 1e6:.0f} Mbit/s, {DELAY * 1e3:.0f} ms each way"


def measure(rounds, quick):
    with Forge() as forge:
        forge.repository("amp_bootstrap", 1)
        return [line for size, times in ((1, rounds), (30 if quick else 300, 1)) for line in of_size(forge, size, times)]


def of_size(forge, megabytes, rounds):
    name = f"amp_{megabytes}"
    first = forge.repository(name, megabytes)
    took = alternate(rounds, {side: lambda chunk=chunk: builds(forge, name, first, chunk) for side, chunk in (("ours", SHIPPED), ("original", ORIGINAL))})
    ours, original = took["ours"], took["original"]
    what = f"second build of {megabytes} MB over {LINK}"
    big = megabytes > 1
    return [
        Line(f"{what}: moved", "kB", ours["moved"] / 1e3, original["moved"] / 1e3, ours["first moved"] / 1e3,
             (Target("<=", 0.01, "limit"),) if big else (), "the original's chunk; the first build"),
        Line(f"{what}: to the checked-out tree", "ms", ours["took"] * 1e3, original["took"] * 1e3, ours["first took"] * 1e3,
             (Target("<=", 0.1, "peer") if big else Target("<=", original["took"] * 1e3 + 100),), "the original's chunk; the first build"),
    ]


def builds(forge, name, first, chunk):
    """Two builds in one new home, with one more commit between them."""
    home = Home("second", "echo $EPOCHREALTIME")
    (home.dir / "mirrors").mkdir()
    home.chunk("checkout_repos", f"({chunk})")
    with Link(forge.port) as link:
        home.environment |= {"AMP_CI_GIT_BASE": f"http://127.0.0.1:{link.port}", "GIT_ALLOW_PROTOCOL": "http:file"}
        took = []
        for number, commit in enumerate((first, forge.commit(name))):
            request = {"repository": name, "ref": "refs/heads/main", "commit_id": commit, "committer_name": "", "committer_email": ""}
            id = f"{FIRST + number}.000000000"
            (home.queue / f"build-{id}").write_text(json.dumps(request))
            before, start = link.bytes, time.time()
            home.build().wait()
            took.append((link.bytes - before, home.started(id) - start))
    return {"first moved": took[0][0], "first took": took[0][1], "moved": took[1][0], "took": took[1][1]}
