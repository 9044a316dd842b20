"""The page over a thousand builds as Chromium loads it, on the first visit and on the next one, and what comes over the wire for it."""

import json
import subprocess
import urllib.request

from home import PROGRAMS, fresh
from machine import alternate
from page import Site, nginx, records
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
    with Site([PROGRAMS / "statusd", "--home", home.dir, "--listen"]) as site, Site(nginx(b"<!DOCTYPE html><title>x</title>")) as blank:
        took = alternate(rounds, {"ours": lambda: visit_twice(site.port), "limit": lambda: visit_twice(blank.port)})
    ours, limit = took["ours"], took["limit"]
    third = (Target("<=", 1 / 3, "peer"),)
    loads = [
        Line(f"/ over 1,000 builds in Chromium: load event, {visit} visit", "ms", ours[visit], LAMINAR[visit], limit[visit], third, "Laminar, once; an empty page of nginx")
        for visit in ("first", "next")
    ]
    return [*loads, Line("/ over 1,000 builds in Chromium: over the wire", "kB", ours["kB"], LAMINAR["kB"], targets=(Target("<=", 60),), note="Laminar")]


def visit_twice(port):
    """Time of the load event on both visits of a browser that has never been there, and what came on the first."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        control = next(line.rsplit(" ", 1)[1].strip(" .\n") for line in driver.stdout if "successfully on port" in line)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", f"--user-data-dir={fresh('chromium')}"]
        options = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        session = f"http://127.0.0.1:{control}/session"
        session = f"{session}/{post(session, {'capabilities': options})['sessionId']}"
        visits = []
        for _ in range(2):
            post(f"{session}/url", {"url": "about:blank"})
            post(f"{session}/url", {"url": f"http://127.0.0.1:{port}/"})
            visits.append(post(f"{session}/execute/sync", {"script": TIMES, "args": []}))
        urllib.request.urlopen(urllib.request.Request(session, method="DELETE")).close()
        return {"first": visits[0][0], "next": visits[1][0], "kB": visits[0][1] / 1e3}
    finally:
        driver.terminate()
        driver.wait()


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["value"]
