"""How each fault is done and undone.  A function makes the fault and then returns what heals it, or None."""

import collections
import pathlib
import random
import re
import signal
import threading
import time

import pymysql
import requests
from invariants import Finding
from shopstack import mariadb

from . import private
from .shop import layout_of

# Beside the failpoints.  A word before a space is the target.
DECK = [
    "kill", "kill", "kill_often", "sleep", "sleep", "restart", "restart_all", "scale", "scale", "burst",
    "mysql kill", "mysql cut_sessions", "mysql hold_rows", "mysql deadlock", "kafka kill", "kafka freeze", "mail kill",
    "mail refuse", "mysql stall", "mysql fill_disk", "mysql clock", "mysql forget_names", "mysql restart", "kafka restart",
    *(f"net-{server} {what}" for server in ("mysql", "kafka", "mail") for what in (
        "cut", "vanish", "unplug", "lag", "narrow", "lose", "lose")),
]  # fmt: skip


def possible(kinds, shop):
    """(those that can be made here, [why others cannot])"""
    lacks = {
        "mysql fill_disk": None if shop.disk else "no mount namespace: no full disks",
        "mysql forget_names": None if private.inside else "no mount namespace: no DNS failures",
        "mysql clock": None if shop.clock.library else "no libfaketime: no clock that jumps",
    }
    without_net = "no proxies: nothing on the network"
    why = {kind: without_net if kind.startswith("net-") and not shop.net else lacks.get(kind) for kind in kinds}
    return [kind for kind in kinds if not why[kind]], sorted({reason for reason in why.values() if reason})


class Lines:
    """How often a line is logged from now on, in the logs that there are now."""

    def __init__(self, stack, files, line):
        self.starts = {path: path.stat().st_size for path in pathlib.Path(stack.dir, "log").glob(files)}
        self.line = re.compile(line.encode())

    def count(self):
        return sum(self._count(path, start) for path, start in self.starts.items())

    def _count(self, path, start):
        with open(path, "rb") as log:
            log.seek(start)
            return len(self.line.findall(log.read()))


ACTIONS = ("kill", "stop", "error", "delay")  # in the order of failpoint.c


def strikes(stack, name, step):
    """Of a failpoint, by the log of its program."""
    action = ACTIONS.index(step["action"].partition(":")[0])
    return Lines(stack, f"{name}.log", rf'"msg":"failpoint".*"name":"{step["step"]}","action":{action}\b')


LAST_WORDS_S = 1  # who is told to end may meet his failpoint once more
# Mostly passed by who is told to end: members are static, so that partitions seldom move.
AT_THE_END = ("processor_revoked",)


def failpoint(ctx, fault):
    shop, name, step = ctx.shop, fault.target, fault.detail
    word = f"{step['step']}:{step['chance']}:{step['action']}"
    hits = strikes(shop.stack, name, step)
    shop.add_failpoint(name, word, ctx.end_signal())

    def heal():
        sig = signal.SIGTERM if step["step"] in AT_THE_END else ctx.end_signal()
        shop.drop_failpoint(name, word, sig)
        time.sleep(LAST_WORDS_S)
        ctx.did(hits.count())

    return heal


def kill(ctx, fault):
    ctx.send(fault.target, signal.SIGKILL)
    if not fault.target.startswith(("mysql", "kafka")):
        return None
    # They come back when the fault is over, not when the watchman thinks.
    ctx.shop.away.take(fault.target)
    return lambda: ctx.shop.away.release(fault.target)


def kill_often(ctx, fault):
    for _ in range(4):
        ctx.send(fault.target, signal.SIGKILL)
        time.sleep(ctx.random.uniform(0.1, 0.9))


def burst(ctx, fault):
    """One instance after the other, faster than a group can settle."""
    until = time.monotonic() + fault.seconds
    while time.monotonic() < until:
        ctx.send(ctx.random.choice(ctx.shop.names(fault.target)), signal.SIGKILL)
        time.sleep(fault.detail["every"])


def sleep(ctx, fault):
    ctx.shop.away.take(fault.target)
    ctx.send(fault.target, signal.SIGSTOP)

    def heal():
        if ctx.shop.away.release(fault.target):
            ctx.shop.send(fault.target, signal.SIGCONT)

    return heal


freeze = sleep


def restart(ctx, fault):
    ctx.send(fault.target, signal.SIGTERM)


def restart_all(ctx, fault):
    """A deployment: each instance of the program in turn."""
    for name in ctx.shop.names(fault.target.partition(".")[0]):
        ctx.send(name, signal.SIGTERM)
        time.sleep(0.7)


def scale(ctx, fault):
    """One instance less, for a while."""
    ctx.shop.away.take(fault.target)
    ctx.did(ctx.shop.stop(fault.target))
    return lambda: ctx.shop.away.release(fault.target)


# ---- MariaDB ----

OF_OURS = "user LIKE 'shop\\_%' AND user <> 'shop_reader'"


def cut_sessions(ctx, fault):
    """KILL, again and again, for sessions of our services wherever they are in a transaction."""
    until = time.monotonic() + fault.seconds
    while time.monotonic() < until:
        with ctx.root() as db, db.cursor() as cursor:
            cursor.execute(f"SELECT id FROM information_schema.processlist WHERE {OF_OURS}")
            for (session,) in ctx.random.sample(rows := cursor.fetchall(), len(rows) // 2):
                try:
                    cursor.execute(f"KILL {session}")
                    ctx.did()
                except pymysql.MySQLError:
                    continue  # it ended by itself
        time.sleep(0.3)


def hold_rows(ctx, fault):
    """A rival transaction holds the hot products, the hot user's number and open outbox rows."""
    crowd = ctx.crowd
    rival = ctx.root()
    with rival.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SET innodb_lock_wait_timeout = 5")
        try:
            products = ",".join(f"'{product}'" for product in crowd.hot)
            ctx.did(cursor.execute(f"SELECT id FROM shop_product.products WHERE id IN ({products}) FOR UPDATE"))
            user = crowd.users[0]
            ctx.did(cursor.execute(f"SELECT user_id FROM shop_order.user_seq WHERE user_id = {user} FOR UPDATE"))
            ctx.did(cursor.execute("SELECT id FROM shop_order.outbox ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED"))
        except pymysql.MySQLError as error:
            ctx.shop.note(f"hold_rows: {error}")
    return rival.close


def deadlocks(ctx):
    """How many the server has met since it started."""
    with ctx.root() as db, db.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
        return int(cursor.fetchone()[1])


def deadlock(ctx, fault):
    """A rival that takes the rows in the wrong order: somebody is the victim, again and again."""
    until = time.monotonic() + fault.seconds
    users, products = ctx.crowd.users[:6], ctx.crowd.hot
    before = deadlocks(ctx)
    while time.monotonic() < until:
        with ctx.root() as db, db.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute("SET innodb_lock_wait_timeout = 2")
                for product in reversed(products):
                    cursor.execute(f"SELECT id FROM shop_product.products WHERE id = '{product}' FOR UPDATE")
                    time.sleep(0.02)
                for user in reversed(users):
                    cursor.execute(f"SELECT user_id FROM shop_order.user_seq WHERE user_id = {user} FOR UPDATE")
                    time.sleep(0.02)
            except pymysql.MySQLError as error:
                ctx.count(f"rival: {error.args[0]}")
    ctx.did(max(0, deadlocks(ctx) - before))  # a server that started again counts from 0


def stall(ctx, fault):
    """The server stands still, with all connections open."""
    return sleep(ctx, fault)


def fill_disk(ctx, fault):
    """Full again and again, for what the server frees it could use."""
    disk = ctx.shop.disk
    until = time.monotonic() + fault.seconds
    try:
        while time.monotonic() < until:
            disk.fill()
            ctx.did()
            time.sleep(0.2)
    finally:
        disk.free()


def forget_names(ctx, fault):
    """Nobody knows where the database and the mail server are; connections are cut, so that somebody asks."""
    unknown = Lines(ctx.shop.stack, "*-svc*.log", NAME_UNKNOWN)
    undo = shared(ctx, "names", lambda: private.names_known(True))
    private.names_known(False)
    for server in ("mysql", "mail"):
        ctx.shop.net.lines[server].cut()

    def heal():
        undo()
        ctx.did(unknown.count())

    return heal


# In the words of MariaDB's library and of libcurl.
NAME_UNKNOWN = r"Unknown (?:MySQL )?server host|Could not resolve host"


def shared(ctx, what, undo):
    """A heal which leaves that to the last who holds it."""
    ctx.shop.held.take(what)
    return lambda: undo() if ctx.shop.held.release(what) else None


# ---- mail ----


def refuse(ctx, fault):
    stack = ctx.shop.stack
    before = stack.mails_refused()
    stack.mail_reply("451 try later")
    undo = shared(ctx, "mail", lambda: stack.mail_reply(""))

    def heal():
        undo()
        ctx.did(max(0, stack.mails_refused() - before))  # a server that started again counts from 0

    return heal


CLOCK_S = 1  # a step is seen by this much of it


def clock_ahead(ctx):
    """Seconds by which the database's clock is ahead of ours."""
    with ctx.root() as db, db.cursor() as cursor:
        cursor.execute("SELECT UNIX_TIMESTAMP(NOW(3))")
        return float(cursor.fetchone()[0]) - time.time()


def clock(ctx, fault):
    """The database's clock jumps; not further than a run can wait for what is kept until then."""
    ctx.shop.clock.step(ctx.random.choice((-20, -5, 5, 20)))
    undo = shared(ctx, "clock", lambda: ctx.shop.clock.step(0))

    def heal():
        try:
            # Whatever another such fault made of it meanwhile.
            ctx.did(abs(clock_ahead(ctx)) > CLOCK_S)
        finally:
            undo()

    return heal


# ---- the network ----


def line(ctx, fault):
    """Of several brokers the same one each time."""
    name = fault.target.removeprefix("net-")
    names = [one for one in ctx.shop.net.lines if one.partition(".")[0] == name]
    return ctx.shop.net.lines[random.Random(str(fault)).choice(names)]


def seen(ctx, line, what):
    """Tells the fault's effect when called: how much more of this the proxy has counted since."""
    before = line.seen().get(what, 0)
    return lambda: ctx.did(line.seen().get(what, 0) - before)


def until_healed(ctx, line, what, undo):
    tell = seen(ctx, line, what)

    def heal():
        undo()
        tell()

    return heal


def cut(ctx, fault):
    """Every connection, several times."""
    one = line(ctx, fault)
    tell = seen(ctx, one, "cut")
    for _ in range(3):
        one.cut()
        time.sleep(ctx.random.uniform(0.1, 0.6))
    tell()


def vanish(ctx, fault):
    """Nothing passes and nobody is told."""
    one = line(ctx, fault)
    heal = until_healed(ctx, one, "held up", one.thaw)
    one.freeze()
    return heal


def unplug(ctx, fault):
    one = line(ctx, fault)
    heal = until_healed(ctx, one, "cut", one.accept)
    one.refuse()
    return heal


def lag(ctx, fault):
    return paced(ctx, fault, delay_s=ctx.random.choice((0.02, 0.1, 0.4)))


def narrow(ctx, fault):
    """Less than half of what passes at this load."""
    return paced(ctx, fault, bytes_per_s=ctx.random.choice((5_000, 20_000)))


def paced(ctx, fault, **pace):
    one = line(ctx, fault)
    heal = until_healed(ctx, one, "slowed", lambda: one.unpace(**pace))
    one.pace(**pace)
    return heal


def lose(ctx, fault):
    """Requests go through, their answers do not."""
    until, one = time.monotonic() + fault.seconds, line(ctx, fault)
    tell = seen(ctx, one, "lost answers")
    while time.monotonic() < until:
        one.lose(ctx.random.randint(1, 3))
        time.sleep(0.3)
    one.lose(0)
    tell()


class Dice(random.Random):
    """Remembers what it chose, for the report."""

    def __init__(self, seed):
        super().__init__(seed)
        self.chosen = []

    def _keep(self, value):
        self.chosen.append(value)
        return value

    def choice(self, options):
        return self._keep(super().choice(options))

    def uniform(self, low, high):
        return self._keep(round(super().uniform(low, high), 3))

    def randint(self, low, high):
        return self._keep(super().randint(low, high))


class Context:
    """What one fault may use: the shop, the run's crowd, a random source of its own; and what came of it."""

    def __init__(self, shop, crowd, seed, index):
        self.shop, self.crowd, self.random = shop, crowd, Dice(f"{seed} {index}")
        self.counts = collections.Counter()
        self.done = 0  # signals delivered, steps that failed, answers lost, rows held …

    def count(self, what):
        self.counts[what] += 1

    def did(self, count=1):
        self.done += int(count)

    def send(self, name, sig):
        self.did(self.shop.send(name, sig))

    def end_signal(self):
        return self.random.choice((signal.SIGKILL, signal.SIGTERM))

    def root(self, **more):
        """The administrator's connection."""
        more = {"read_timeout": 10, **more}
        return mariadb.connect(layout_of(self.shop.stack), **more)


class Player(threading.Thread):
    """Plays one fault: waits for its time, makes it, heals it."""

    def __init__(self, ctx, fault, began, end):
        super().__init__(daemon=True)
        self.ctx, self.fault, self.began, self.end = ctx, fault, began, end
        self.since = self.until = None  # when it was made and when it was healed
        self.errors = []

    def run(self):
        time.sleep(max(0, self.began + self.fault.at - time.monotonic()))
        self.since = time.time()
        heal = self._try(self._make)
        if heal:
            time.sleep(max(0, min(self.fault.seconds, self.end - time.monotonic())))
            self._try(heal)
        self.until = time.time()

    def _make(self):
        fault = self.fault
        if fault.target == "kafka":
            fault.target = random.Random(str(fault)).choice(self.ctx.shop.names("kafka"))
        return globals()[fault.kind](self.ctx, fault)

    def _try(self, what):
        """Whatever goes wrong here is told as a finding, and the run goes on."""
        try:
            return what()
        except Exception as error:
            self.errors.append(error)
            return None

    @property
    def effect(self):
        """How often it struck; None without anything to strike."""
        return self.ctx and self.ctx.done

    def chosen(self):
        """What it left to chance, in words."""
        if self.ctx is None:
            return ""
        return ", ".join(getattr(one, "name", None) or str(one) for one in self.ctx.random.chosen)

    def told(self):
        """The errors in words."""
        return [f"{type(error).__name__}: {error}" for error in self.errors]

    def problems(self, players):
        found = [error for error in self.errors if not excused(error, self, players)]
        told = [f"{self.fault}: {type(error).__name__}: {error}" for error in found]
        return told if self.until else [*told, f"{self.fault}: was not over in time"]

    def times(self):
        """(since, until), until now if it is not over."""
        now = time.time()
        return self.since or now, self.until or now


# Who else may be the cause of an error: the server that it came from, taken away by another fault.
AWAY = ("kill", "restart", "stall", "fill_disk")
CAUSES = {pymysql.MySQLError: "mysql", requests.RequestException: "mail"}
RECOVERY_S = 20  # until it can be asked again


def excused(error, player, players):
    servers = [server for kind, server in CAUSES.items() if isinstance(error, kind)]
    since, until = player.times()
    others = [other for other in players if other is not player and other.since and other.fault.kind in AWAY]
    return any(
        other.fault.target in servers and other.times()[0] <= until and since <= other.times()[1] + RECOVERY_S
        for other in others
    )  # fmt: skip


def check_made(players):
    problems = [problem for player in players for problem in player.problems(players)]
    yield Finding("every fault was made and healed", not problems, "; ".join(problems[:4]) or f"{len(players)} faults")
