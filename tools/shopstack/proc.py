"""Processes that outlive the command which started them.

A process is known by its pid and its start time, so that a pid used again by
somebody else is never signalled.  Each one leads a session of its own.
"""

import os
import signal
import subprocess
import time


def _stat(pid):
    """State letter and start time in clock ticks since boot, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[19])


def spawn(argv, env, log, cwd):
    """Starts a process in the background; its output is appended to `log`."""
    with open(log, "ab", buffering=0) as out:
        child = subprocess.Popen(
            [str(arg) for arg in argv],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Else `subprocess` waits for it some time later, and who wants to know how it ended comes too late.
    child.returncode = 0
    stat = _stat(child.pid)
    return {"pid": child.pid, "start": stat[1] if stat else 0}


def alive(entry):
    """Does this very process still run?  Zombies do not count."""
    if not entry or not entry.get("pid"):
        return False
    stat = _stat(entry["pid"])
    return bool(stat) and stat[0] not in "ZX" and stat[1] == entry["start"]


def reap(entry):
    """Takes the exit status if it is our own child; otherwise init does."""
    try:
        os.waitpid(entry["pid"], os.WNOHANG)
    except (ChildProcessError, OSError):
        pass


def send(entry, signum):
    if alive(entry):
        os.kill(entry["pid"], signum)


def kill(entry):
    """SIGKILL for the process and whatever it left in its group."""
    if alive(entry):
        os.killpg(entry["pid"], signal.SIGKILL)
    wait_gone([entry], 5)


def wait_gone(entries, seconds):
    """Waits until none of them runs; returns those that still do."""
    deadline = time.monotonic() + seconds
    left = list(entries)
    while True:
        for entry in left:
            reap(entry)
        left = [entry for entry in left if alive(entry)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def stop(entries, grace):
    """SIGTERM, wait, SIGKILL for the rest.  Returns those that had to be killed."""
    for entry in entries:
        send(entry, signal.SIGTERM)
        send(entry, signal.SIGCONT)
    stuck = wait_gone(entries, grace)
    for entry in stuck:
        kill(entry)
    return stuck
