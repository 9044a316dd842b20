"""A daemon under test on loopback, what is sent to it, and wrk as the load."""

import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import time

from home import BENCH, PROGRAMS, WORK, fresh
from machine import cpu_of, free_port, until

SECRET = "It's a Secret to Everybody"
WEBHOOK = "/usr/bin/webhook"
WEBHOOKD = PROGRAMS / "webhookd"
BARE = WORK / "bare" / "release" / "bare"
SHIPPED = (BENCH.parent / "hooks.json").read_text()


class Push:
    """A push of one commit as GitHub sends it, without what it repeats: 7 KB of compact JSON, signed."""

    def __init__(self, signed=True, **changes):
        payload = json.loads((BENCH.parent / "tests" / "fixtures" / "github" / "push.json").read_text())
        del payload["organization"], payload["sender"], payload["repository"]["owner"], payload["commits"][1:]
        self.body = json.dumps({**payload, **changes}, separators=(",", ":"), ensure_ascii=False).encode()
        secret = SECRET if signed else "another"
        self.signature = "sha256=" + hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        self.headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-Hub-Signature-256": self.signature,
        }


class Server:
    """Started when made, stopped at the end of a `with`."""

    def __init__(self, program, hooks=None, path="/webhook/amp_main", environment=None, log=False):
        self.path = path
        self.port = free_port()
        if program == BARE:
            command = [BARE, str(self.port), SECRET]
        else:
            dir = fresh("hooks")
            (dir / "hooks.json").write_text(hooks)
            command = [program, "-ip", "127.0.0.1", "-port", str(self.port), "-urlprefix", "webhook", "-template"]
            command += ["-hooks", dir / "hooks.json", *(["-logfile", dir / "webhook.log"] if log else [])]
        environment = {**(environment or os.environ), "SECRET": SECRET}
        environment["PATH"] = f"{PROGRAMS}:{environment['PATH']}"
        start = time.monotonic()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers, 10, pause=0)
        self.started_in = time.monotonic() - start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def answers(self):
        """Asked with as little of our own as can be: a start takes no longer than http.client does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return connection.recv(1) != b""
        except OSError:
            return False

    def expect(self, push, status):
        """One request, to be sure that the right thing is measured."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", self.path, push.body, push.headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == status, f"{self.process.args[0]}: {answer.status}, not {status}: {said[:200]}"

    def load(self, push, connections, seconds):
        """What wrk gets out of it: requests per second, CPU of the server for each (µs), p50 and p99 (ms)."""
        body = fresh("body") / "body"
        body.write_bytes(push.body)
        cpu = cpu_of(self.process.pid)
        said = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", BENCH / "load.lua"]
            + [f"http://127.0.0.1:{self.port}{self.path}"],
            env={**os.environ, "BENCH_BODY": str(body), "BENCH_SIGNATURE": push.signature},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        cpu = cpu_of(self.process.pid) - cpu
        result = next(line for line in said.splitlines() if line.startswith("RESULT"))
        requests, took, p50, p99, failed = map(float, result.split()[1:])
        assert failed == 0, said
        return {"rate": requests / took, "cpu": cpu / requests * 1e6, "p50": p50, "p99": p99}
