"""What the rows need of the machine: running things, and what they cost."""

import ctypes
import os
import resource
import socket
import subprocess
import time
from pathlib import Path
from statistics import median

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")


def alternate(rounds, sides):
    """Runs each side in turn, `rounds` times; the median of each of its figures."""
    figures = {name: [] for name in sides}
    for turn in range(rounds):
        # Every other round backwards, so that no side always comes after the same one.
        for name in list(sides) if turn % 2 == 0 else reversed(list(sides)):
            figures[name].append(sides[name]())
    return {
        name: {key: median(figure[key] for figure in taken) for key in taken[0]}
        for name, taken in figures.items()
    }


def timed(run):
    """Seconds of wall time and CPU of what `run()` starts, down to the last process that is left to us."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    def cpu():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    cpu_before, start = cpu(), time.monotonic()
    run()
    wall = time.monotonic() - start
    reap()
    return {"wall": wall, "cpu": cpu() - cpu_before}


def reap():
    """Waits for everything that was started in the background and left to us."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def until(condition, seconds=120, pause=0.002):
    """Waits for a condition, asking each time after a pause of so many seconds, and returns what it says."""
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {condition}")
        time.sleep(pause)
    return said


def number(command):
    """The number that a command prints."""
    return float(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE).stdout)


def cpu_of(pid):
    """CPU seconds of a process, its threads and the children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / TICKS


def memory_of(pid, what):
    """MB by a line of /proc/PID/status, such as VmHWM; 0 for a process that has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0


def free_port():
    """A port on loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def listens(port):
    """Does anybody take connections there?"""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except OSError:
        return False
