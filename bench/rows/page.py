"""The page `/` over many builds: the first answer of a new statusd, those after it, and its memory; nginx with the same bytes is the limit."""

import http.client
import json
import os
import subprocess
import time
from statistics import median

from home import COMMIT, FIRST, PROGRAMS, Home, fresh
from machine import free_port, listens, memory_of, until
from table import Line, Target

# By how many builds there are: milliseconds of the first answer and of later ones.
TARGETS = {10_000: (200, 10), 100_000: (1500, 50)}


def measure(rounds, quick):
    return [line for depth in list(TARGETS)[: 1 if quick else None] for line in over(depth, 20 if quick else 100)]


def over(depth, times):
    home = records(depth)
    with Site([PROGRAMS / "statusd", "--home", home.dir, "--listen"]) as site:
        first = site.get()[0]
        tag = site.get()[1]
        warm = median(site.get()[0] for _ in range(times))
        unchanged = median(site.get({"If-None-Match": tag})[0] for _ in range(times))
        memory, body = memory_of(site.process.pid, "VmRSS"), site.body
    with Site(nginx(body)) as limit:
        same = median(limit.get()[0] for _ in range(times))
    what = f"/ over {depth:,} builds"
    cold, later = ((Target("<=", most),) for most in TARGETS[depth])
    return [
        Line(f"{what}: first answer", "ms", first * 1e3, targets=cold),
        Line(f"{what}: later ones, {len(body) / 1e3:.0f} kB", "ms", warm * 1e3, limit=same * 1e3, targets=later, note="; nginx, the same bytes"),
        Line(f"{what}: 304, not changed", "ms", unchanged * 1e3),
        Line(f"{what}: memory of statusd", "MB", memory, targets=(Target("<=", 30),)),
    ]


def records(count):
    """A home with so many finished builds, one after the other until now."""
    home = Home("page")
    began = int(time.time()) - count * 60
    for n in range(count):
        record = home.dir / "builds" / f"{began + n * 60}.000000000"
        record.mkdir()
        request = {"repository": f"amp_{n % 50}", "ref": "refs/heads/main", "commit_id": COMMIT, "committer_name": "b", "committer_email": "b@example.org"}
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(began + n * 60))
        result = {"outcome": "failed" if n % 9 == 0 else "succeeded", "rc": n % 9 == 0 and 1 or 0, "reason": None, "started": at, "finished": at,
                  "seconds": 1.0, "attempts": 1, "host": "ci"}
        (record / "request.json").write_text(json.dumps(request))
        (record / "result.json").write_text(json.dumps(result))
    return home


def nginx(body):
    """The command for nginx with these bytes as its page; the address comes behind it."""
    dir = fresh("nginx")
    os.chmod(dir, 0o755)
    (dir / "index.html").write_bytes(body)
    temporary = "".join(f"{kind}_temp_path {dir}/{kind}; " for kind in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    config = f"{user} daemon off; error_log stderr; pid {dir}/pid; events {{}} http {{ access_log off; {temporary} server {{ root {dir}; listen ADDRESS; }} }}"
    return ["sh", "-c", f"sed s/ADDRESS/$0/ <<'END' >{dir}/conf && exec nginx -p {dir} -c {dir}/conf\n{config}\nEND\n"]


class Site:
    """What answers at an address that is appended to its command, until the end of a `with`."""

    def __init__(self, command):
        self.port = free_port()
        self.process = subprocess.Popen([*command, f"127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        until(lambda: listens(self.port), 10)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def get(self, headers={}):
        """Seconds that an answer of `/` took, and its tag."""
        start = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        self.body = answer.read() or self.body
        took = time.monotonic() - start
        assert answer.status == (304 if headers else 200), answer.status
        return took, answer.getheader("ETag")
