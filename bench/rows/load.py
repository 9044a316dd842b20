"""The page over a thousand builds as Chromium loads it, on the first visit and on the next one, and what comes over the wire for it."""

import json
import subprocess
import urllib.request
from statistics import median

from home import PROGRAMS, fresh
from page import Site, records
from table import Line, Target

# Laminar 1.4's page over as many builds, once, on a machine with two cores; its list comes 156 and 116 ms later.
LAMINAR = {"first": 103, "next": 72, "kB": 131}

# The list is in the page: it is there with the load event.
TIMES = """
const [page] = performance.getEntriesByType("navigation");
const parts = [page, ...performance.getEntriesByType("resource")];
return [page.loadEventEnd, parts.reduce((bytes, part) => bytes + part.transferSize, 0)];
"""


def measure(rounds, quick):
    home = records(1000)
    with Site([PROGRAMS / "statusd", "--home", home.dir, "--listen"]) as site:
        visits = [visit_twice(f"http://127.0.0.1:{site.port}/") for _ in range(rounds)]
    first, again = (median(times[at][0] for times in visits) for at in (0, 1))
    third = (Target("<=", 1 / 3, "peer"),)
    return [
        Line("/ over 1,000 builds in Chromium: load event, first visit", "ms", first, peer=LAMINAR["first"], targets=third, note="Laminar, once"),
        Line("/ over 1,000 builds in Chromium: load event, next visit", "ms", again, peer=LAMINAR["next"], targets=third, note="Laminar, once"),
        Line("/ over 1,000 builds in Chromium: over the wire", "kB", visits[0][0][1] / 1e3, peer=LAMINAR["kB"], targets=(Target("<=", 60),), note="Laminar"),
    ]


def visit_twice(url):
    """Time of the load event and bytes, of both visits of a browser that has never been there."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = next(line.rsplit(" ", 1)[1].strip(" .\n") for line in driver.stdout if "successfully on port" in line)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", f"--user-data-dir={fresh('chromium')}"]
        options = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        session = f"http://127.0.0.1:{port}/session"
        session = f"{session}/{post(session, {'capabilities': options})['sessionId']}"
        times = []
        for _ in range(2):
            post(f"{session}/url", {"url": "about:blank"})
            post(f"{session}/url", {"url": url})
            times.append(post(f"{session}/execute/sync", {"script": TIMES, "args": []}))
        urllib.request.urlopen(urllib.request.Request(session, method="DELETE")).close()
        return times
    finally:
        driver.terminate()
        driver.wait()


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["value"]
