"""The stack that is broken on purpose, and the watchman that starts again what died, as Kubernetes would."""

import collections
import contextlib
import ctypes
import os
import pathlib
import random
import re
import shutil
import signal
import threading
import time

from shop_stack import Stack, until
from shopstack import programs, proc
from shopstack.layout import Layout, write_private
from shopstack.store import Store, locked
from shopstack.ui import StackError

from . import private
from .holders import Holders
from .net import Net

INSTANCES = {
    "order-svc": 3, "product-svc": 2, "processor": 3, "notify-svc": 2, "analytics-svc": 2, "user-svc": 2,
}  # fmt: skip
# Short waits for what only time ends: the runs wait for it.
SETTINGS = [
    "order-svc:RESERVATION_TTL_S=8", "product-svc:JANITOR_INTERVAL_MS=500", "notify-svc:MAIL_RATE=1000",
    "notify-svc:MAIL_MAX_TRIES=1000",
]  # fmt: skip
LOOK_S = 0.03
PR_SET_CHILD_SUBREAPER = 36
# A program never ends by these; 99 is a sanitizer's report.
CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
SANITIZER = 99
JAVA_TOLD_TO_END = 128 + signal.SIGTERM
# A program's last line when it ends by itself; the way through main() ends with "stopped" and its status.
GIVEN_UP = re.compile(r'"level":"(error|fatal)"|"second signal')
STOPPED = re.compile(r'"msg":"stopped".*"status":(\d+)')
STOP_S = 15


def look_at(pid):
    """(state letter: R, S, T, Z …; X for none, how it ended as waitpid tells it)."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[-1])


def environment_of(entry):
    """As the kernel tells it: nothing for a moment, while a process goes over to another program."""
    while proc.alive(entry):
        try:
            words = pathlib.Path(f"/proc/{entry['pid']}/environ").read_bytes()
        except OSError:
            break
        if words:
            return words.split(b"\0")
        time.sleep(0.001)
    return []


def why_ended(status, log):
    """"" if a program may end like this: killed, told to end, or by itself with the reason as its last words."""
    last = log.rstrip("\n").rpartition("\n")[2]
    reason = GIVEN_UP.search(last)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        crash = number in CRASHES and not (number == signal.SIGABRT and reason)
        return signal.Signals(number).name if crash else ""
    code = os.WEXITSTATUS(status)
    stopped = STOPPED.search(last)
    by_itself = reason or (stopped and int(stopped[1]) == code)
    told = code in (0, JAVA_TOLD_TO_END)
    return "" if told or (code != SANITIZER and by_itself) else f"exit status {code}"


class Clock:
    """MariaDB's clock, from which the shop takes all times that count; libfaketime moves it."""

    def __init__(self, file):
        self.file = file
        self.library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

    def settings(self):
        if not self.library:
            return []
        self.step(0)
        env = {
            "LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": self.file, "FAKETIME_CACHE_DURATION": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1, "FAKETIME_DONT_RESET": 1,
        }  # fmt: skip
        return [f"mysql:{name}={value}" for name, value in env.items()]

    def step(self, seconds):
        write_private(self.file, f"{seconds:+d}\n")


class Shop:
    """Processes by name ("order-svc.2", "mysql").  `away` are those that shall not run, or sleep, now."""

    def __init__(self, folder, mode, with_net=True, brokers=1, kafka=None):
        remove_earlier(folder)
        self.stack, self.mode = Stack(folder), mode
        self.disk = private.Disk(layout_of(self.stack).mysql) if private.inside else None
        self.net = Net(layout_of(self.stack), brokers) if with_net else None
        self.stack.own = False
        self.clock = Clock(layout_of(self.stack).dir / "clock")
        self.away = Holders()
        self.options = ["--kafka-nodes", str(brokers), *(["--kafka-version", kafka] if kafka else [])]
        self.held = Holders()  # what else overlapping faults share
        self.failpoints = {}  # name -> words of FAILPOINTS, until each fault ends; changed under the file's lock
        self.seed, self.starts = 0, collections.Counter()  # of the run; name -> starts with failpoints in it
        self.events = []  # (time, text): what was seen, beside what was planned

    def up(self, instances=None, more=()):
        # Whoever loses its parent becomes our child, so that we learn how it ended.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        env, options = [*SETTINGS, *self.clock.settings(), *more], self.options
        if self.net:
            env += self.net.settings()
            env += ["DB_HOST=db.shop.test"] if private.inside else []
            options = options + self.net.options()
        self.stack.up(mode=self.mode, instances=instances or INSTANCES, env=env, options=options)
        return self

    def close(self):
        try:
            self.stack.close()
        finally:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)
            if self.net:
                self.net.close()
            if self.disk:
                self.disk.close()

    # ---- processes ----

    def entries(self):
        return Store(layout_of(self.stack)).processes

    def names(self, program=None):
        return [name for name, one in self.entries().items() if program in (None, one["kind"])]

    def send(self, name, sig):
        """False when it does not run."""
        entry = self.entries()[name]
        if not proc.alive(entry):
            return False
        if sig == signal.SIGKILL:
            proc.kill(entry)
        else:
            proc.send(entry, sig)
        return True

    def begin(self, name):
        """Starts it with its failpoints, and does not wait until it is ready."""
        with locked(layout_of(self.stack)) as store:
            entry = store.processes[name]
            if proc.alive(entry):
                return
            for variable in ("FAILPOINTS", "FAILPOINTS_SEED"):
                entry["env"].pop(variable, None)
            if self.failpoints.get(name):
                entry["env"]["FAILPOINTS"] = ",".join(self.failpoints[name])
                entry["env"]["FAILPOINTS_SEED"] = str(self.next_seed(name))
            store.again(name)

    def next_seed(self, name):
        """For the dice of its failpoints: another one at each start, or it would die at the same pass each time."""
        self.starts[name] += 1
        return random.Random(f"{self.seed} {name} {self.starts[name]}").getrandbits(62)

    def begin_run(self, seed):
        self.seed = seed
        self.starts.clear()
        self.events.clear()

    def stop(self, name):
        """SIGTERM, and SIGKILL when that takes too long.  The watchman buries it: he has to see how it ended.
        False when it did not run."""
        entry, deadline = self.entries()[name], time.monotonic() + STOP_S
        ran = proc.alive(entry)
        for sig in (signal.SIGTERM, signal.SIGCONT):
            proc.send(entry, sig)
        while proc.alive(entry):
            if time.monotonic() > deadline:
                proc.send(entry, signal.SIGKILL)
            time.sleep(0.05)
        return ran

    def renew(self, name, sig=signal.SIGKILL):
        """Ends it, a sleeper by plan when it wakes up; the watchman starts it again, with the failpoints of now."""
        if name in self.away:
            sig = signal.SIGTERM
        else:
            self.send(name, signal.SIGCONT)
        self.send(name, sig)

    # ---- failpoints ----

    def add_failpoint(self, name, word, sig):
        self._change(name, lambda words: [*words, word], sig)

    def drop_failpoint(self, name, word, sig):
        def without(words):
            words = list(words)
            words.remove(word)
            return words

        self._change(name, without, sig)

    def _change(self, name, change, sig):
        """Under the lock of `begin`, which else could start it with the words of before, after we sent the signal."""
        with locked(layout_of(self.stack)):
            self.failpoints[name] = change(self.failpoints.get(name, []))
            self.renew(name, sig)

    def with_failpoints(self):
        """Who has any in its environment, as the kernel tells it."""
        return [
            name
            for name, entry in self.entries().items()
            if any(one.startswith(b"FAILPOINTS=") and one != b"FAILPOINTS=" for one in environment_of(entry))
        ]

    def ready(self):
        """Everything runs and is ready; the names of what is not."""
        late = []
        for name, entry in self.entries().items():
            if not proc.alive(entry) or (entry.get("admin") and not programs.ready(entry["admin"])[0]):
                late.append(name)
        return late

    def heal(self, seconds=60):
        """No failpoint, nothing away, everything ready; the names of those that had to be renewed for it."""
        self.away.clear()
        with locked(layout_of(self.stack)):
            stale = self.with_failpoints()
            self.failpoints.clear()
            for name in stale:
                self.renew(name)
        until(lambda: not self.ready() and not self.with_failpoints(), seconds, "that all parts are ready again")
        self.stack.refresh()
        return stale

    # ---- what was seen ----

    def note(self, text):
        self.events.append((time.time(), text))


def layout_of(stack):
    return Layout(stack.dir)


def remove_earlier(folder):
    """An earlier stack: its data would be counted as ours.  Anything else is not ours to remove."""
    folder = pathlib.Path(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / "state.json").exists():
        raise StackError(f"{folder} is not empty and no folder of a stack")
    Stack(folder).down()
    shutil.rmtree(folder)


class Watchman:
    """`with Watchman(shop, restart_s, sleep_s):` starts what ended after restart_s() seconds, and wakes after
    sleep_s() seconds what a failpoint stopped."""

    def __init__(self, shop, restart_s, sleep_s):
        self.shop, self.restart_s, self.sleep_s = shop, restart_s, sleep_s
        self.due, self.sleepers = {}, {}
        self.deaths, self.crashes, self.judged = {}, [], set()
        self.errors = []  # his own
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def _watch(self):
        while not self.done.wait(LOOK_S):
            try:
                now = time.monotonic()
                for name, entry in self.shop.entries().items():
                    self._look(name, entry, now)
            except Exception as error:  # whatever it is, the others still need him; the run fails
                self.errors.append(f"{type(error).__name__}: {error}")

    def _look(self, name, entry, now):
        letter, status = look_at(entry["pid"])
        if letter == "T":
            self._asleep(name, entry, now)
        elif not proc.alive(entry):
            if letter == "Z":
                self._ended(name, entry, status)
            self._dead(name, now)
        else:
            self.due.pop(name, None)
            self.sleepers.pop(name, None)

    def _ended(self, name, entry, status):
        if entry["pid"] in self.judged:
            proc.reap(entry)  # it was not ours to bury yet
            return
        self.judged.add(entry["pid"])
        why = why_ended(status, self.shop.stack.log(name))
        proc.reap(entry)
        if why:
            self.crashes.append(f"{name}: {why}")
            self.shop.note(f"{name} ended with {why}")
        elif status not in (0, signal.SIGKILL):
            self.shop.note(f"{name} gave up, see its log")

    def _dead(self, name, now):
        if name in self.shop.away:
            return
        if name not in self.due:
            self.due[name] = now + self.restart_s()
            self.deaths[name] = self.deaths.get(name, 0) + 1
            self.shop.note(f"{name} is dead")
        elif now >= self.due[name]:
            with contextlib.suppress(OSError):
                self.shop.begin(name)
            del self.due[name]

    def _asleep(self, name, entry, now):
        """Who is away sleeps by plan; a failpoint's sleeper is woken here."""
        if name in self.shop.away:
            return
        if name not in self.sleepers:
            self.sleepers[name] = now + self.sleep_s()
            self.shop.note(f"{name} sleeps")
        elif now >= self.sleepers[name]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry["pid"], signal.SIGCONT)
