"""Many pushes from 200 connections at once: answered, stored, and by a bounded number of processes."""

import asyncio
import time
from pathlib import Path

from machine import alternate, memory_of
from push import original, shipped
from server import Push
from table import Line, Target

CONNECTIONS = 200
NOTE = "webhook, Python, no fsync"


def measure(rounds, quick):
    pushes = 400 if quick else 2000
    took = alternate(1, {"ours": lambda: burst(shipped(), pushes), "peer": lambda: burst(original(), pushes)})
    what = f"burst of {pushes:,} pushes from {CONNECTIONS} connections"
    goals = {
        "answered 2xx": ("", Target(">=", pushes)),
        "entries on disk": ("", Target(">=", pushes)),
        "p99": ("ms", Target("<=", 10_000)),
        "processes at the peak": ("", Target("<=", 100)),
        "memory of the daemon at its peak": ("MB", Target("<=", 1, "peer")),
    }
    return [
        Line(f"{what}: {name}", unit, took["ours"][name], took["peer"][name], targets=(target,), note=NOTE)
        for name, (unit, target) in goals.items()
    ]


def burst(server, pushes):
    with server:
        figures = asyncio.run(send(server, Push(), pushes))
        figures["memory of the daemon at its peak"] = memory_of(server.process.pid, "VmHWM")
        figures["entries on disk"] = sum(1 for _ in server.queue.glob("build-*"))
    return figures


async def send(server, push, pushes):
    head = "".join(f"{name}: {value}\r\n" for name, value in push.headers.items())
    request = (
        f"POST {server.path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {len(push.body)}\r\n\r\n".encode()
        + push.body
    )
    latencies, good, peak, left = [], 0, 0, pushes

    async def client():
        nonlocal good, left
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while left > 0:
            left -= 1
            start = time.monotonic()
            writer.write(request)
            ok = await answered(reader)
            good += ok
            latencies.append(time.monotonic() - start)
        writer.close()

    async def watch():
        nonlocal peak
        while True:
            peak = max(peak, children_of(server.process.pid))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    watching.cancel()
    latencies.sort()
    return {
        "answered 2xx": good,
        "p99": latencies[int(len(latencies) * 0.99)] * 1e3,
        "processes at the peak": peak,
    }


async def answered(reader):
    """Reads one answer; was it a 2xx?"""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if "transfer-encoding: chunked" in head:
        await reader.readuntil(b"0\r\n\r\n")
    else:
        await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
    return head.split()[1].startswith("2")


def children_of(pid):
    count = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            count += len((task / "children").read_text().split())
        except OSError:
            pass
    return count
