"""How each fault is done and undone.  A function makes the fault and then returns what heals it, or None."""

import random
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


def failpoint(ctx, fault):
    shop, name, step = ctx.shop, fault.target, fault.detail
    word = f"{step['step']}:{step['chance']}:{step['action']}"
    before = shop.failpoints.get(name)
    shop.failpoints[name] = f"{before},{word}" if before else word
    shop.renew(name, ctx.end_signal())

    def heal():
        left = [one for one in shop.failpoints.get(name, "").split(",") if one and one != word]
        shop.failpoints[name] = ",".join(left)
        shop.renew(name, ctx.end_signal())

    return heal


def kill(ctx, fault):
    ctx.shop.send(fault.target, signal.SIGKILL)
    if not fault.target.startswith(("mysql", "kafka")):
        return None
    # They come back when the fault is over, not when the watchman thinks.
    ctx.shop.away.add(fault.target)
    return lambda: ctx.shop.away.discard(fault.target)


def kill_often(ctx, fault):
    for _ in range(4):
        ctx.shop.send(fault.target, signal.SIGKILL)
        time.sleep(ctx.random.uniform(0.1, 0.9))


def burst(ctx, fault):
    """One instance after the other, faster than a group can settle."""
    until = time.monotonic() + fault.seconds
    while time.monotonic() < until:
        ctx.shop.send(ctx.random.choice(ctx.shop.names(fault.target)), signal.SIGKILL)
        time.sleep(fault.detail["every"])


def sleep(ctx, fault):
    ctx.shop.away.add(fault.target)
    ctx.shop.send(fault.target, signal.SIGSTOP)

    def heal():
        ctx.shop.send(fault.target, signal.SIGCONT)
        ctx.shop.away.discard(fault.target)

    return heal


freeze = sleep


def restart(ctx, fault):
    ctx.shop.send(fault.target, signal.SIGTERM)


def restart_all(ctx, fault):
    """A deployment: each instance of the program in turn."""
    for name in ctx.shop.names(fault.target.partition(".")[0]):
        ctx.shop.send(name, signal.SIGTERM)
        time.sleep(0.7)


def scale(ctx, fault):
    """One instance less, for a while."""
    ctx.shop.away.add(fault.target)
    ctx.shop.stop(fault.target)
    return lambda: ctx.shop.away.discard(fault.target)


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
            cursor.execute(f"SELECT id FROM shop_product.products WHERE id IN ({products}) FOR UPDATE")
            cursor.execute(f"SELECT user_id FROM shop_order.user_seq WHERE user_id = {crowd.users[0]} FOR UPDATE")
            cursor.execute("SELECT id FROM shop_order.outbox ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED")
        except pymysql.MySQLError as error:
            ctx.shop.note(f"hold_rows: {error}")
    return rival.close


def deadlock(ctx, fault):
    """A rival that takes the rows in the wrong order: somebody is the victim, again and again."""
    until = time.monotonic() + fault.seconds
    users, products = ctx.crowd.users[:6], ctx.crowd.hot
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
            time.sleep(0.2)
    finally:
        disk.free()


def forget_names(ctx, fault):
    """Nobody knows where the database and the mail server are; connections are cut, so that somebody asks."""
    private.names_known(False)
    for server in ("mysql", "mail"):
        ctx.shop.net.lines[server].cut()
    return lambda: private.names_known(True)


# ---- mail ----


def refuse(ctx, fault):
    ctx.shop.stack.mail_reply("451 try later")
    return lambda: ctx.shop.stack.mail_reply("")


def clock(ctx, fault):
    """The database's clock jumps; not further than a run can wait for what is kept until then."""
    ctx.shop.clock.step(ctx.random.choice((-20, -5, 5, 20)))
    return lambda: ctx.shop.clock.step(0)


# ---- the network ----


def line(ctx, fault):
    """Of several brokers the same one each time."""
    name = fault.target.removeprefix("net-")
    names = [one for one in ctx.shop.net.lines if one.partition(".")[0] == name]
    return ctx.shop.net.lines[random.Random(str(fault)).choice(names)]


def cut(ctx, fault):
    """Every connection, several times."""
    for _ in range(3):
        line(ctx, fault).cut()
        time.sleep(ctx.random.uniform(0.1, 0.6))


def vanish(ctx, fault):
    """Nothing passes and nobody is told."""
    line(ctx, fault).freeze()
    return line(ctx, fault).thaw


def unplug(ctx, fault):
    line(ctx, fault).refuse()
    return line(ctx, fault).accept


def lag(ctx, fault):
    line(ctx, fault).pace(delay_s=ctx.random.choice((0.02, 0.1, 0.4)))
    return line(ctx, fault).pace


def narrow(ctx, fault):
    """Less than half of what passes at this load."""
    line(ctx, fault).pace(bytes_per_s=ctx.random.choice((5_000, 20_000)))
    return line(ctx, fault).pace


def lose(ctx, fault):
    """Requests go through, their answers do not."""
    until = time.monotonic() + fault.seconds
    while time.monotonic() < until:
        line(ctx, fault).lose(ctx.random.randint(1, 3))
        time.sleep(0.3)
    line(ctx, fault).lose(0)


class Context:
    """What a fault may use: the shop, the run's crowd, a random source of its own."""

    def __init__(self, shop, crowd, seed):
        self.shop, self.crowd, self.random = shop, crowd, random.Random(f"faults {seed}")
        self.counts, self.lock = {}, threading.Lock()

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

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
