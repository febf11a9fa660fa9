"""The stack's memory between two commands: options, ports and processes in state.json."""

import contextlib
import fcntl
import json
import threading
import time

from . import proc
from .layout import write_private
from .ui import StackError


LOCK_WAIT_S = 60


@contextlib.contextmanager
def locked(layout):
    """One command at a time may change a stack; yields its state as it is then."""
    layout.make()
    deadline = time.monotonic() + LOCK_WAIT_S
    with open(layout.lock, "w", encoding="utf-8") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise StackError(f"another command works on {layout.dir}") from error
                time.sleep(0.05)
        yield Store(layout)


class Store:
    """state.json; written after every change, so a killed command leaves no unknown process."""

    def __init__(self, layout):
        self.layout = layout
        self.mutex = threading.RLock()
        self.data = {"options": {}, "ports": {}, "processes": {}}
        if layout.state.exists():
            self.data.update(json.loads(layout.state.read_text(encoding="utf-8")))

    @property
    def options(self):
        return self.data["options"]

    @property
    def processes(self):
        return self.data["processes"]

    def save(self):
        with self.mutex:
            write_private(self.layout.state, json.dumps(self.data, indent=1) + "\n")

    def running(self):
        return [name for name, entry in self.processes.items() if proc.alive(entry)]

    def start(self, name, **spec):
        """Starts a process by its spec (argv, env, cwd and notes) and remembers both."""
        log = str(self.layout.log(name))
        entry = {**spec, "log": log, **proc.spawn(spec["argv"], spec["env"], log, spec["cwd"])}
        with self.mutex:
            self.processes[name] = entry
            self.save()
        return entry

    def again(self, name):
        """Starts a stopped process as it was started before."""
        spec = dict(self.processes[name])
        for gone in ("pid", "start", "log"):
            spec.pop(gone, None)
        return self.start(name, **spec)

    def named(self, name):
        """Names that NAME means: itself, or all instances of a program."""
        found = [n for n in self.processes if n == name or n.rpartition(".")[0] == name]
        if not found:
            known = " ".join(self.processes) or "none"
            raise StackError(f"no process {name!r} in {self.layout.dir} (known: {known})")
        return found
