"""One stack, many runs: load and faults, heal, rest, check, report."""

import collections
import json
import pathlib
import random
import shutil
import time
from dataclasses import dataclass, field

import invariants
from invariants import Events, Finding, database
from shopstack.kafka_home import DEFAULT

from . import mails, oracle, plan, report, rest
from .clients import Crowd
from .faults import DECK, Context, Player, check_made, possible
from .shop import INSTANCES, Shop, Watchman
from .watcher import AT_ANY_MOMENT, Watcher

REST_S = 45  # most that a run waits for rest
HEAL_S = 90  # for the last fault to end after the load
WARM_UP_S = 4
ENDED = "the run came to its end"
AFTERMATH_S = 15  # from the end of a fault until whoever was hit sends mail as before


@dataclass
class Run:
    seed: int
    seconds: float
    faults: list
    began: float = field(default_factory=time.time)
    times: dict = field(default_factory=dict)  # phase -> seconds
    findings: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)
    players: list = field(default_factory=list)
    events: list = field(default_factory=list)
    users: set = field(default_factory=set)
    crowd: Crowd | None = None
    watcher: Watcher | None = None
    watchman: Watchman | None = None
    deaths: dict = field(default_factory=dict)
    healed: float = 0
    renewed: list = field(default_factory=list)  # at the end, to get rid of failpoints
    disturbances: list = field(default_factory=list)  # of whoever sends mail
    mails_at: float = 0  # when they may be looked at, whatever is on its way then
    mails_early: bool = False  # before that, when nobody is sending: no sender can have died

    @property
    def ended(self):
        """Did it come to its end?  Else its stack is in no state for another one."""
        return all(finding.ok for finding in self.findings if finding.name == ENDED)

    @property
    def broken(self):
        return [finding for finding in self.findings if not finding.ok]


# Of order-svc: with `error` who orders gets a 500. Of product-svc he hears no more than that no stock can be reserved.
ANSWER_500 = {"order_reserved", "order_before_commit"}


def made_to_fail(players):
    """(since, until) of the failpoints that make an error of their own."""
    return [
        (since, until + 1) for since, until, fault in ((*one.times(), one.fault) for one in players)
        if fault.kind == "failpoint" and fault.detail["action"] == "error" and fault.detail["step"] in ANSWER_500
    ]  # fmt: skip


class Sitting:
    """`with Sitting(folder, mode, reports) as sitting: sitting.run(seed, seconds)`; `more` is Shop's."""

    def __init__(self, folder, mode, reports, kinds=DECK, instances=None, brokers=1, kafka=None, **more):
        self.shop = Shop(folder, mode, brokers=brokers, kafka=kafka, **more)
        self.kinds, left_out = possible(kinds, self.shop)
        self.instances = instances or INSTANCES
        self.setup = report.Setup(mode, brokers, kafka or DEFAULT, self.instances, left_out)
        self.reports = pathlib.Path(reports)
        self.waiting = []  # runs whose mails are not checked yet
        self.runs = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()  # nothing may go on running
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        report.version()  # before anybody changes a file meanwhile
        self.shop.up(self.instances)
        self.stack = self.shop.stack
        self.mailbox = mails.Mailbox(self.stack)
        self.warm_up()

    def close(self):
        self.shop.close()

    def warm_up(self):
        """Load without faults: what the shop uses at rest afterwards is what it may use later."""
        crowd = Crowd(self.stack, "warm")
        crowd.start()
        time.sleep(WARM_UP_S)
        assert crowd.finish(20), "the clients of the warm-up hang"
        took, left = rest.wait(self.stack.json, REST_S)
        assert not left, f"no rest after the warm-up: {left}"
        self.baseline = rest.Baseline(self.shop)

    # ---- one run ----

    def run(self, seed, seconds, faults=None, enough=None, most=0, **people):
        """`enough(orders, deaths)`: the load goes on until it says yes, at most for `most` seconds.
        `people`: other than those of the seed, or than usual with a plan of one's own, as Crowd takes them."""
        chosen = plan.make(seed, seconds, self.instances, self.kinds) if faults is None else faults
        people = {**plan.people(seed), **people} if faults is None else people
        run = Run(seed, seconds, chosen)
        self.runs.append(run)
        self.shop.begin_run(seed)
        try:
            self.play(run, people, enough, most)
        except BaseException as error:
            run.findings.append(Finding(ENDED, False, f"{type(error).__name__}: {error}"))
            self.abandon(run)
            if not isinstance(error, Exception):
                raise
            for player in run.players:
                player.join(HEAL_S)
        finally:
            run.findings += self.look_back(run)
            self.keep(run)
        return run

    @staticmethod
    def abandon(run):
        """Nobody goes on: another stack may stand in the same place."""
        if run.watcher:
            run.watcher.done.set()
        if run.crowd:
            run.crowd.deadline = time.monotonic()
            run.crowd.stopping.set()

    def play(self, run, people, enough, most):
        run.crowd = crowd = Crowd(self.stack, run.seed, **people)
        run.users = set(crowd.all_users())
        run.watcher = watcher = Watcher(self.stack.json, crowd)
        chance = random.Random(f"watchman {run.seed}")
        with Watchman(self.shop, lambda: chance.uniform(0, 1.5), lambda: chance.choice((0.5, 4, 13))) as watchman:
            run.watchman, run.deaths = watchman, watchman.deaths
            watcher.start()
            self.load(run, crowd)
            self.go_on(run, lambda: enough is None or enough(self.placed(crowd), sum(watchman.deaths.values())), most)
            self.heal(run, crowd)
        watcher.finish()
        self.check(run, crowd)
        run.counts.update(**sum((player.ctx.counts for player in run.players), collections.Counter()), **self.lost_answers())

    def load(self, run, crowd):
        began = time.monotonic()
        run.began = time.time()
        run.players = [
            Player(Context(self.shop, crowd, run.seed, n), fault, began, began + run.seconds)
            for n, fault in enumerate(run.faults)
        ]
        crowd.start()
        for player in run.players:
            player.start()
        time.sleep(run.seconds)
        deadline = time.monotonic() + HEAL_S
        for player in run.players:
            player.join(max(0, deadline - time.monotonic()))
        run.times["load and faults"] = round(time.monotonic() - began, 1)

    @staticmethod
    def go_on(run, enough, most):
        while not enough() and time.time() - run.began < most:
            time.sleep(0.5)

    def heal(self, run, crowd):
        began = time.monotonic()
        run.healed = time.time()
        run.renewed = self.shop.heal()
        run.times["heal"] = round(time.monotonic() - began, 1)
        began = time.monotonic()
        hang = not crowd.finish(20)
        run.findings.append(Finding("no client hangs", not hang, ""))
        run.times["last answers"] = round(time.monotonic() - began, 1)

    def look_back(self, run):
        """What was seen while it ran, also of a run that raised."""
        if not run.watchman:
            return
        yield from check_made(run.players)
        errors, crashes = run.watchman.errors, "; ".join(run.watchman.crashes[:4])
        yield Finding("the watchman was awake", not errors, "; ".join(errors[:2]))
        yield Finding("nobody crashes", not crashes, crashes or f"{sum(run.deaths.values())} deaths")
        yield from oracle.check_seen(run.crowd, run.watcher, run.seconds)
        yield from self.seen_by(run.watcher)

    def check(self, run, crowd):
        left = self.shop.with_failpoints()
        run.findings.append(Finding("no failpoint is left", not left, ", ".join(left)))
        trouble = self.shop.net.trouble() if self.shop.net else []
        run.findings.append(Finding("the proxies did no wrong", not trouble, "; ".join(trouble[:4])))
        self.note_disturbances(run)
        self.waiting.append(run)
        run.times["rest"], finding = rest.check(self.stack.json, REST_S)
        run.findings.append(finding)
        began = time.monotonic()
        events = Events(self.stack.json, keep_ids=True)
        run.findings += invariants.check(self.stack.json, events=events, users=run.users)
        with database(self.stack.json) as db:
            run.findings += oracle.check(db, crowd, made_to_fail(run.players))
        run.findings += self.baseline.check(self.shop)
        run.times["check"] = round(time.monotonic() - began, 1)
        self.check_mails(events)

    @staticmethod
    def seen_by(watcher):
        for name in AT_ANY_MOMENT:
            seen = [rows for _, what, rows in watcher.seen if what == name]
            yield Finding(name, not seen, f"{seen[:2]}" if seen else f"{watcher.looks} looks")

    # ---- mails, checked when every lease is over ----

    def note_disturbances(self, run):
        senders = self.instances.get("notify-svc", 1)
        for player in run.players:
            if mails.disturbs(player.fault):
                since, until = player.times()
                most = mails.most_again(player.fault, player.effect or 0, until - since, senders)
                run.disturbances.append(mails.Disturbance(since, until + AFTERMATH_S, most))
        ended = sum(name.startswith("notify-svc") for name in run.renewed)
        if ended:
            run.disturbances.append(mails.Disturbance(run.healed, time.time() + AFTERMATH_S, ended * mails.SLOTS))
        run.mails_at, run.mails_early = time.time() + mails.WINDOW_S, not run.disturbances

    def disturbances(self, run):
        """Those of the run, and of its neighbours as far as a lease reaches."""
        return [
            one for other in self.runs for one in other.disturbances
            if run.began <= one.until + mails.WINDOW_S and one.since <= run.mails_at
        ]  # fmt: skip

    def unsent(self):
        with database(self.stack.json) as db:
            return mails.unsent(db)

    def check_mails(self, events=None):
        if not self.waiting:
            return
        quiet = not self.unsent()
        due = [run for run in self.waiting if time.time() >= run.mails_at or (run.mails_early and quiet)]
        if not due:
            return
        events = events or Events(self.stack.json, keep_ids=True)
        self.mailbox.look()
        for run in due:
            own = [event for event, user in events.ids.items() if user in run.users]
            run.findings += mails.check(self.mailbox, own, events.ids, self.disturbances(run))
            self.waiting.remove(run)
            self.write(run)

    def finish(self, patient=True):
        """The mails of the last runs; without patience they are told as not looked at."""
        why = "the sitting was ended"
        while self.waiting and patient:
            try:
                self.check_mails()
                time.sleep(1 if self.waiting else 0)
            except Exception as error:
                why, patient = f"{type(error).__name__}: {error}", False
        for run in self.waiting[:]:
            self.waiting.remove(run)
            run.findings.append(Finding("its mails were looked at", False, why))
            self.write(run)

    # ---- the report ----

    @staticmethod
    def placed(crowd):
        return sum(one.what == "order" and one.order_id is not None for one in crowd.requests)

    def count(self, crowd):
        orders = [one for one in crowd.requests if one.what == "order"]
        attempts = [attempt for one in orders for attempt in one.attempts]
        ends = collections.Counter(f"{one.status} {one.code}".strip() for one in attempts)
        return {
            "orders wished": len(orders), "attempts": len(attempts),
            "orders placed": self.placed(crowd),
            "cancellations": sum(one.cancel is not None for one in orders),
            "looks at the shelf": crowd.reader.looks, **{f"answer {end}": count for end, count in ends.items()},
        }  # fmt: skip

    def lost_answers(self):
        """Of the sitting so far: the proxies count on."""
        lines = self.shop.net.lines if self.shop.net else {}
        return {f"lost answers of {name}, in all": line.seen().get("lost answers", 0) for name, line in lines.items()}

    def keep(self, run):
        """Also of a run that raised."""
        run.events = list(self.shop.events)
        if run.crowd:
            run.counts = {**self.count(run.crowd), **run.counts}
        self.write(run)
        with open(self.reports / f"chaos-{run.seed}.jsonl", "w", encoding="utf-8") as out:
            for one in run.crowd.requests if run.crowd else ():
                out.write(json.dumps(one, default=vars) + "\n")
        if run.broken:
            self.keep_logs(run)

    def keep_logs(self, run):
        """Of the whole stack: the next one would begin them anew."""
        shutil.copytree(self.stack.dir / "log", self.reports / f"chaos-{run.seed}-log", dirs_exist_ok=True)

    def write(self, run):
        report.write(self.reports, run, run in self.waiting, self.setup)

