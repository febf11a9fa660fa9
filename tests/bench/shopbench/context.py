"""What all parts share: the stack, the peers, how long and how often, and what was measured."""

import functools
import json
import pathlib
import statistics
import sys
import tempfile
import time

from . import machine, shop, wrk
from .bare import Bare
from .engines import Broker

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))

import invariants  # noqa: E402

# The same for everybody who uses this server; what comes with tools/stack is made for small machines.
SERVER = ["innodb-buffer-pool-size=512M", "innodb-log-file-size=512M", "innodb-io-capacity=2000"]
SLOW_SYNC_US = 2000
QUICK_S = 5  # runs shorter than this are a quick look
REST_S = 120  # after so long, lags that are still there count as never gone
# Mail may lag: so many a second, for the sink that takes them here is a Python program.
MAIL = ["notify-svc:MAIL_RATE=10"]


class Context:
    """Starts the stacks when a part first asks for them; close() stops what was started."""

    def __init__(self, build, seconds, rounds=None, stack=None):
        self.build, self.seconds = pathlib.Path(build).resolve(), seconds
        self.rounds = rounds or (1 if self.quick else 3)
        self.given, self.machine = stack, machine.describe()
        self.folders, self.runs, self.checks, self.memory = [], {}, [], {}

    @property
    def quick(self):
        return self.seconds < QUICK_S

    @property
    def samples(self):
        """So many at least make a p99 worth to be told; a quick look takes what comes."""
        return 0 if self.quick else 1000

    @property
    def programs(self):
        return self.build / "release" / "bench"

    @property
    def vegeta(self):
        return self.build / "bench" / "bin" / "vegeta"

    def folder(self):
        self.folders.append(tempfile.TemporaryDirectory(prefix="shop-bench-"))
        return pathlib.Path(self.folders[-1].name)

    @functools.cached_property
    def shop(self):
        if self.given:
            return shop.Shop(self.given)
        self.say("starting the stack")
        return self._warm(shop.start(self.folder(), self.build, more=["--mysql", *SERVER, "--env", *MAIL]))

    def _warm(self, started):
        """A broker's first minute is several times slower, and nobody's caches are filled."""
        seconds = min(60, 5 * self.seconds)
        self.say(f"warming up for {seconds} s")
        wrk.orders(started.gateway, 32, seconds, *started.buyers("many"))
        invariants.wait_for_rest(started.json, REST_S)
        return started

    @functools.cached_property
    def bare(self):
        return Bare(self.shop.json, self.programs)

    @functools.cached_property
    def slow_shop(self):
        """As under a managed database: a binlog, and every fsync 2 ms slower."""
        self.say("starting a stack with binlog and slow fsync")
        slow = [f"mysql:LD_PRELOAD={self.programs / 'slowsync.so'}", f"mysql:SYNC_US={SLOW_SYNC_US}"]
        server = [*SERVER, "log-bin=bin", "sync-binlog=1", "binlog-format=ROW", "server-id=1"]
        return self._warm(shop.start(self.folder(), self.build, more=["--mysql", *server, "--env", *MAIL, *slow]))

    @functools.cached_property
    def slow_bare(self):
        return Bare(self.slow_shop.json, self.programs)

    @functools.cached_property
    def broker(self):
        """Kafka without the shop: what runs on it is alone with it. With both compilers, as in production."""
        if self.given:
            return Broker(json.loads(pathlib.Path(self.given).read_text(encoding="utf-8"))["dir"], self.build)
        self.say("starting a broker")
        folder = self.folder()
        shop.up(folder, self.build, more=["--programs", "none", "--no-seed", "--kafka-both-compilers"])
        return Broker(folder, self.build)

    def close(self):
        for folder in self.folders:
            shop.stop(folder.name)
            folder.cleanup()

    # ---- measuring ----

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def measure(self, name, run):
        """Runs it and keeps what it returns (a dict) under `name`, with the machine's state."""
        with machine.Watch() as watch:
            result = run()
        result.update({key: round(getattr(watch, key), 1) for key in ("steal", "busy", "load", "load_end")})
        self.runs.setdefault(name, []).append(result)
        figures = {key: round(value, 2) for key, value in result.items() if isinstance(value, int | float)}
        self.say(f"{name}: " + " ".join(f"{key}={value:g}" for key, value in figures.items()))
        return result

    def median(self, name, key="per_s"):
        """Over the rounds; None when it was not measured."""
        values = [run[key] for run in self.runs.get(name, []) if run.get(key) is not None]
        return statistics.median(values) if values else None

    def ours(self, name, run, of=None, rest=True):
        """As measure(), and then waits until the lags are gone, so that nobody else pays for them."""
        of = of or self.shop
        with machine.memory(of.pids()) as memory:
            result = self.measure(name, run)
            if rest:
                result["rest_s"] = invariants.wait_for_rest(of.json, REST_S)
        for program, mb in memory.peak.items():
            self.memory[program] = max(self.memory.get(program, 0), mb)
        self.memory["all"] = max(self.memory.get("all", 0), memory.peak_sum)
        result["memory_mb"] = memory.series
        return result

    def check(self, part, of=None):
        """The invariants, to the cent, over everything that was ever done to this stack."""
        began = time.monotonic()
        findings = invariants.check((of or self.shop).json)
        seconds = round(time.monotonic() - began, 1)
        broken = [f"{finding.name}: {finding.detail}" for finding in findings if not finding.ok]
        self.checks.append({"part": part, "checked": len(findings), "broken": broken, "seconds": seconds})
        said = f"invariants after {part}: {len(findings) - len(broken)} hold ({seconds} s)"
        self.say(said + "".join(f"\n  BROKEN {b}" for b in broken))

    def in_turn(self, steps, rounds=None, check=None, of=None):
        """Round after round, every other one backwards: a drift of the machine hits all alike.

        `check` is the part's name, when orders were placed: the invariants are checked after each round.
        """
        for turn in range(rounds or self.rounds):
            for step in steps if turn % 2 == 0 else reversed(steps):
                step()
            if check:
                self.check(check, of)

    def dump(self):
        return {
            "machine": self.machine, "seconds": self.seconds, "rounds": self.rounds, "server": SERVER,
            "runs": self.runs, "memory_mb": self.memory, "checks": self.checks,
        }  # fmt: skip

    def save(self, folder, text):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench.json").write_text(json.dumps(self.dump(), indent=1) + "\n", encoding="utf-8")
        (folder / "bench.md").write_text(text, encoding="utf-8")
