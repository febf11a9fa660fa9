"""The machine during a run: steal, load, memory of the programs."""

import contextlib
import os
import pathlib
import resource
import subprocess
import threading
import time


def _cpu():
    """Ticks of all cores since boot: (steal, idle, all)."""
    fields = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return ticks[7], ticks[3] + ticks[4], sum(ticks)


class Watch:
    """`with Watch() as watch:` then watch.steal and watch.busy, in percent of all cores, and the load averages.

    `load` is from before (of a minute: it has what ran just before in it), `load_end` from the end.
    """

    def __enter__(self):
        self.load = os.getloadavg()[0]
        self.begin = _cpu()
        return self

    def __exit__(self, *_):
        steal, idle, every = (b - a for a, b in zip(self.begin, _cpu()))
        self.steal = 100 * steal / max(1, every)
        self.busy = 100 - 100 * idle / max(1, every)
        self.load_end = os.getloadavg()[0]


def describe():
    return f"{os.cpu_count()} cores, load average before {os.getloadavg()[0]:.1f}, Linux {os.uname().release}"


def _status_kb(pid, field):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(status.partition(field)[2].split()[0]) if field in status else 0


def resident_kb(pid):
    return _status_kb(pid, "VmRSS:")


def peak_kb(pid):
    """The most that was ever resident."""
    return _status_kb(pid, "VmHWM:")


def cpu_s(pid):
    """Seconds of CPU that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(line, env=None):
    """A program to its end: (what it printed, seconds of CPU that it used)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(part) for part in line], env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{pathlib.Path(line[0]).name}: {done.stdout}{done.stderr}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sample(pids):
    """Program -> resident MB of all its instances."""
    return {name: sum(map(resident_kb, group)) / 1024 for name, group in pids.items()}


class Memory:
    """Samples the resident memory of programs every half second; remembers the most."""

    def __init__(self, pids):
        self.pids, self.peak, self.peak_sum = pids, dict.fromkeys(pids, 0.0), 0.0
        self.series = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        began = time.monotonic()
        while not self.stop.wait(0.5):
            now = sample(self.pids)
            total = sum(now.values())
            self.series.append((round(time.monotonic() - began, 1), round(total, 1)))
            self.peak_sum = max(self.peak_sum, total)
            for name, mb in now.items():
                self.peak[name] = max(self.peak[name], mb)

    def close(self):
        self.stop.set()
        self.thread.join()


@contextlib.contextmanager
def memory(pids):
    sampler = Memory(pids)
    try:
        yield sampler
    finally:
        sampler.close()
