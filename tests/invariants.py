#!/usr/bin/python3
"""The invariants of docs/DESIGN.md section 3, checked at rest on a running stack.

  tests/invariants.py STACK_JSON [--wait 60] [--skip NAME ...]

Reads MariaDB and Kafka and asks every analytics-svc; shares no code with the programs under test, only the
names of tables, topics and fields.  Prints one line for each invariant; the exit code is 1 when one is broken.

    from invariants import check, wait_for_rest
    lags = wait_for_rest(stack, seconds=60)      # seconds until each lag was gone
    broken = [f for f in check(stack) if not f.ok]
"""

import argparse
import calendar
import contextlib
import functools
import json
import pathlib
import re
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from decimal import Decimal
from typing import NamedTuple

import pymysql
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

EVENTS, RESULTS, DEAD = "orders-events", "analytics-results", "orders-dlq"
READ_S = 180  # for reading one topic
SQL_S = 60  # for one statement
USERS_ASKED = 300  # of each analytics-svc, beside those that the caller names
HELD = "('pending', 'confirmed')"
# Of windows, as DESIGN.md has them.
WINDOW_S, CORRECTED_S, AHEAD_S = 60, 86400, 300
PARTS = ("orders", "revenue", "cancelled", "refunded")


class Finding(NamedTuple):
    name: str
    ok: bool
    detail: str


def cents(amount):
    """Of a decimal number, a text or None; nobody may have a fraction of a cent."""
    exact = Decimal(str(amount or 0)) * 100
    if exact != int(exact):
        raise ValueError(f"{amount} is no whole number of cents")
    return int(exact)


# ---- access ----


class Database:
    """The account that may read all schemas; `{order}` and the like in a statement name one."""

    def __init__(self, stack):
        self.mysql = stack["mysql"]
        self.names = {k.removesuffix("-svc"): v for k, v in self.mysql["databases"].items()}
        self.conn = pymysql.connect(
            host=self.mysql["host"], port=self.mysql["port"], user=self.mysql["user"],
            password=self.mysql["password"], autocommit=True, read_timeout=SQL_S,
        )  # fmt: skip

    def rows(self, text):
        with self.conn.cursor() as cursor:
            cursor.execute(text.format(**self.names))
            return cursor.fetchall()

    def one(self, text):
        return self.rows(text)[0]

    def close(self):
        self.conn.close()


@contextlib.contextmanager
def database(stack):
    db = Database(stack)
    try:
        yield db
    finally:
        db.close()


def topic_ends(consumer, topic):
    """Partition -> (first offset, end offset)."""
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in partitions}


def new_consumer(stack):
    return Consumer({
        "bootstrap.servers": stack["kafka"]["bootstrap"], "group.id": "invariants", "enable.auto.commit": False,
        "isolation.level": "read_committed", "queued.max.messages.kbytes": 65536, "log_level": 3,
    })  # fmt: skip


def read_topic(stack, topic, seconds=READ_S):
    """All committed messages, each partition in its order."""
    consumer = new_consumer(stack)
    deadline = time.monotonic() + seconds
    try:
        left = {p: end for p, (low, end) in topic_ends(consumer, topic).items() if low < end}
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in left])
        while left:
            for message in consumer.consume(5000, 0.2):
                if not message.error():
                    yield message
            # By position: markers of transactions take offsets too.
            for place in consumer.position([TopicPartition(topic, p) for p in left]):
                if place.offset >= left[place.partition]:
                    del left[place.partition]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} was not read in {seconds} s")
    finally:
        consumer.close()


def get_json(url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return json.load(answer, parse_float=Decimal)


def admin_token(stack):
    """A token of the admin; analytics may be asked without one in demo mode only."""
    login = stack["logins"]["admin"]
    body = json.dumps({"email": login["email"], "password": login["password"]}).encode()
    request = urllib.request.Request(
        stack["gateway"] + "/api/auth/login", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["access_token"]


# ---- the database alone ----

# What each statement returns must be nothing; the rows name what is wrong.
NOTHING_MAY_BE_FOUND = {
    "stock adds up": f"""
        SELECT p.id, p.stock, c.delta, h.held FROM {{product}}.products p
        LEFT JOIN (SELECT product_id, SUM(delta) delta FROM {{product}}.stock_changes GROUP BY product_id) c
          ON c.product_id = p.id
        LEFT JOIN (SELECT i.product_id, SUM(i.quantity) held FROM {{product}}.reservation_items i
          JOIN {{product}}.reservations r ON r.id = i.reservation_id WHERE r.state IN {HELD}
          GROUP BY i.product_id) h ON h.product_id = p.id
        WHERE p.stock <> COALESCE(c.delta, 0) - COALESCE(h.held, 0) OR p.stock < 0""",
    "sold = ordered": """
        SELECT a.product_id, a.ordered, b.held FROM
          (SELECT i.product_id, SUM(i.quantity) ordered FROM {order}.order_items i
           JOIN {order}.orders o ON o.id = i.order_id WHERE o.status <> 'cancelled' GROUP BY i.product_id) a
        LEFT JOIN (SELECT i.product_id, SUM(i.quantity) held FROM {product}.reservation_items i
           JOIN {product}.reservations r ON r.id = i.reservation_id WHERE r.state = 'confirmed'
           GROUP BY i.product_id) b ON b.product_id = a.product_id
        WHERE a.ordered <> COALESCE(b.held, 0)""",
    "one order a key": """
        SELECT order_id, COUNT(*) FROM {order}.order_keys WHERE order_id IS NOT NULL
        GROUP BY order_id HAVING COUNT(*) > 1""",
    "a key's order exists": """
        SELECT k.user_id, k.idempotency_key, k.order_id FROM {order}.order_keys k
        LEFT JOIN {order}.orders o ON o.id = k.order_id AND o.user_id = k.user_id
        WHERE (k.status = 201) <> (k.order_id IS NOT NULL) OR (k.order_id IS NOT NULL AND o.id IS NULL)""",
    "totals are the sum of the lines": """
        SELECT o.id, o.total_price, SUM(i.quantity * i.unit_price) FROM {order}.orders o
        LEFT JOIN {order}.order_items i ON i.order_id = o.id GROUP BY o.id, o.total_price
        HAVING o.total_price <> COALESCE(SUM(i.quantity * i.unit_price), -1)""",
    "lines belong to orders": """
        SELECT i.order_id, i.line FROM {order}.order_items i
        LEFT JOIN {order}.orders o ON o.id = i.order_id WHERE o.id IS NULL""",
    # seq: 16 bits of epoch, 48 bits of number; every order and every cancellation took one.
    "numbers without gap": """
        SELECT s.user_id, s.seq, a.events FROM {order}.user_seq s LEFT JOIN
          (SELECT user_id, COUNT(*) + SUM(status = 'cancelled') events, COUNT(DISTINCT seq) numbers, COUNT(*) orders,
           MAX(seq) last FROM {order}.orders GROUP BY user_id) a ON a.user_id = s.user_id
        WHERE (SELECT MAX(epoch) FROM {order}.seq_epoch) = 0
          AND (s.seq <> COALESCE(a.events, 0) OR a.numbers <> a.orders OR a.last > s.seq)""",
    "nothing set aside": "SELECT outbox_id, user_id, reason FROM {order}.outbox_set_aside",
    "outbox is empty": "SELECT id, user_id, created_at FROM {order}.outbox",
    "no open reservation": "SELECT id, created_at, expires_at FROM {product}.reservations WHERE state = 'pending'",
}

# Both statements must return the same row: a count, and a sum over hashes that any other set would miss.
SAME_SET = {
    "orders = confirmed reservations": (
        "SELECT COUNT(*), SUM(CRC32(reservation_id)) FROM {order}.orders WHERE status <> 'cancelled'",
        "SELECT COUNT(*), SUM(CRC32(id)) FROM {product}.reservations WHERE state = 'confirmed'",
    ),
    "cancelled orders = returned reservations": (
        "SELECT COUNT(*), SUM(CRC32(reservation_id)) FROM {order}.orders WHERE status = 'cancelled'",
        "SELECT COUNT(*), SUM(CRC32(id)) FROM {product}.reservations WHERE state = 'returned'",
    ),
    "orders = committed outcomes": (
        "SELECT COUNT(*), SUM(CRC32(reservation_id)) FROM {order}.orders",
        "SELECT COUNT(*), SUM(CRC32(reservation_id)) FROM {order}.outcomes WHERE outcome = 'committed'",
    ),
}


def check_database(db):
    for name, text in NOTHING_MAY_BE_FOUND.items():
        count = 0
        rows = db.rows(f"{text} LIMIT 6")
        count = len(rows)
        shown = "; ".join(" ".join(map(str, row)) for row in rows[:5])
        yield Finding(name, not rows, shown + (" …" if count > 5 else ""))
    for name, (left, right) in SAME_SET.items():
        one, other = db.one(left), db.one(right)
        yield Finding(name, one == other, f"{one[0]} and {other[0]}")


def user_totals(db):
    """User -> (net orders, net cents), of users with an order."""
    rows = db.rows(
        "SELECT user_id, SUM(status <> 'cancelled'), SUM(IF(status <> 'cancelled', total_price, 0)) "
        "FROM {order}.orders GROUP BY user_id"
    )
    return {user: (int(orders), cents(spent)) for user, orders, spent in rows}


# ---- Kafka ----

EVENT = re.compile(
    rb'^\{"order_id":(\d+),"user_id":(\d+),"price":(\d+(?:\.\d\d?)?),.*?"timestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d):(\d\d)Z",'
    rb'"type":"order\.(created|cancelled)","event_id":"([^"]*)","seq":(\d+)'
)


@functools.lru_cache(maxsize=4096)
def minute(text):
    """Seconds since the epoch of "2025-11-24T21:13"."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M"))


class Events:
    """What orders-events says in effect: each (order, type) once.  `ids`: event id -> user, if they shall be kept."""

    def __init__(self, stack, keep_ids=False):
        self.ids = {} if keep_ids else None
        self.seen, self.duplicates, self.strange = set(), 0, []
        self.totals = defaultdict(lambda: [0, 0])
        self.numbers = defaultdict(set)
        self.last, self.overtaken = {}, []  # user -> number of the last event that was new
        self.windows = defaultdict(Counter)  # (start, partition) -> PARTS, by the events' own times
        self.ahead = set()  # partitions with events of a time that their processor may not have believed
        for message in read_topic(stack, EVENTS):
            self._take(message.value(), message.partition(), message.timestamp()[1] / 1000)

    def _take(self, value, partition, sent):
        found = EVENT.match(value or b"")
        if not found:
            self.strange.append(value)
            return
        order, user, price, at, second, kind, event_id, seq = found.groups()
        if self.ids is not None:
            self.ids[event_id.decode()] = int(user)
        mark = int(order) * 2 + (kind == b"cancelled")
        if mark in self.seen:
            self.duplicates += 1
            return
        self.seen.add(mark)
        sign, amount, start = -1 if kind == b"cancelled" else 1, cents(price.decode()), minute(at.decode())
        total = self.totals[int(user)]
        total[0] += sign
        total[1] += sign * amount
        self._number(int(user), int(seq))
        count, money = PARTS[:2] if sign > 0 else PARTS[2:]
        self.windows[start, partition].update({count: 1, money: amount})
        if start + int(second) > sent + AHEAD_S:
            self.ahead.add(partition)

    def _number(self, user, seq):
        """Of an event that is new: repeats may come in any order."""
        self.numbers[user].add(seq)
        if seq <= self.last.get(user, -1):
            self.overtaken.append(f"user {user}: {seq} after {self.last[user]}")
        self.last[user] = seq

    def __len__(self):
        return len(self.seen)


def check_events(db, events, totals):
    yield Finding("events are understood", not events.strange, str(events.strange[:2]))
    created, cancelled, ids = db.one("SELECT COUNT(*), SUM(status = 'cancelled'), SUM(id) FROM {order}.orders")
    wanted = created + int(cancelled or 0)
    placed = sum(mark // 2 for mark in events.seen if not mark & 1)
    yield Finding(
        "one event an (order, type)",
        len(events) == wanted and placed == int(ids or 0),
        f"{wanted} in the database, {len(events)} on the topic, {events.duplicates} repeated",
    )
    same = {user: tuple(total) for user, total in events.totals.items()} == totals
    yield Finding("events sum up to the orders", same, difference(events.totals, totals))
    gaps = [u for u, numbers in events.numbers.items() if len(numbers) != max(numbers) - min(numbers) + 1]
    yield Finding("events' numbers without gap", not gaps, f"users {gaps[:5]}" if gaps else "")
    yield Finding("a user's events are in order", not events.overtaken, "; ".join(events.overtaken[:4]))


def difference(left, right):
    """The first few users for which two tables of totals differ."""
    users = set(left) | set(right)
    bad = [u for u in sorted(users) if tuple(left.get(u, (0, 0))) != tuple(right.get(u, (0, 0)))]
    shown = "; ".join(f"user {u}: {tuple(left.get(u, ()))} {tuple(right.get(u, ()))}" for u in bad[:4])
    return f"{len(users)} users" + (f", {len(bad)} differ: {shown}" if bad else "")


class Results:
    """The last value of every key of analytics-results, and whether versions rise."""

    VERSION = re.compile(rb'^\{"v":(\d+)')

    def __init__(self, stack):
        self.last, self.version, self.backwards, self.place, self.moved = {}, {}, [], {}, []
        for message in read_topic(stack, RESULTS):
            self._take(message.key().decode(), message.value(), message.partition())

    def _take(self, key, value, partition):
        if self.place.setdefault(key, partition) != partition:
            self.moved.append(key)
        if value is None:
            self.last.pop(key, None)
            return
        version = int(self.VERSION.match(value)[1])
        if version <= self.version.get(key, -1):
            self.backwards.append(f"{key} {self.version[key]} then {version}")
        self.version[key] = version
        self.last[key] = value

    def of(self, kind):
        return [json.loads(value, parse_float=Decimal) for key, value in self.last.items() if key.startswith(kind)]

    def users(self):
        found = {one["user_id"]: (one["orders"], cents(one["spent"])) for one in self.of("u:")}
        return {user: total for user, total in found.items() if total != (0, 0)}

    def windows(self):
        """(start, partition) -> PARTS."""
        return {(one["start"], one["partition"]): parts(one) for one in self.of("w:")}

    def sums(self):
        """Gross less refunded over windows, folded and late: (net orders, net cents)."""
        orders = money = 0
        for one in self.of("w:"):
            orders += one["orders"] - one["cancelled"]
            money += cents(one["revenue"]) - cents(one["refunded"])
        for one in self.of("p:"):
            for part in ("late", "folded"):
                orders += one[f"{part}_orders"] - one[f"{part}_cancelled"]
                money += cents(one[f"{part}_revenue"]) - cents(one[f"{part}_refunded"])
        return orders, money


def parts(one, prefix=""):
    """Of a record of the results, in cents."""
    orders, revenue, cancelled, refunded = (one[prefix + name] for name in PARTS)
    return Counter(orders=orders, revenue=cents(revenue), cancelled=cancelled, refunded=cents(refunded))


def wrong_windows(results, events):
    """Each window that can still be corrected is the sum of its events; of what is older (folded, or too late for its
    window) only the sum is known.  So it is of a whole partition with times far ahead, which count when they come."""
    found, wanted = (defaultdict(Counter) for _ in range(2))
    marks = {one["partition"]: one["watermark"] / 1000 for one in results.of("p:")}

    for (start, partition), sums in events.windows.items():
        older = partition in events.ahead or start + WINDOW_S + CORRECTED_S <= marks.get(partition, 0)
        wanted[partition, "older" if older else start].update(sums)
    for (start, partition), sums in results.windows().items():
        found[partition, "older" if partition in events.ahead else start].update(sums)
    for one in results.of("p:"):
        for prefix in ("late_", "folded_"):
            found[one["partition"], "older"].update(parts(one, prefix))
    return [
        f"{where}: {dict(+found[where])}, {dict(+wanted[where])} by its events"
        for where in sorted({*found, *wanted}, key=str) if found[where] != wanted[where]
    ]  # fmt: skip


def check_windows(results, events):
    bad = wrong_windows(results, events)
    told = "; ".join(bad[:3]) or f"{len(events.windows)} in all partitions"
    yield Finding("each window = its events", not bad, told)


def check_results(results, totals):
    net = {user: total for user, total in totals.items() if total != (0, 0)}
    users, sums = results.users(), results.sums()
    whole = tuple(map(sum, zip(*net.values()))) if net else (0, 0)
    yield Finding("results by user = orders", users == net, difference(users, net))
    yield Finding("windows + folded + late = orders", sums == whole, f"{sums} and {whole}")
    yield Finding("versions rise", not results.backwards, "; ".join(results.backwards[:3]))
    yield Finding("a key stays in its partition", not results.moved, "; ".join(results.moved[:3]))


def check_dead(stack):
    consumer = new_consumer(stack)
    try:
        count = sum(end - low for low, end in topic_ends(consumer, DEAD).values())
    finally:
        consumer.close()
    yield Finding("no dead letter", count == 0, f"{count} offsets in use" if count else "")


# ---- analytics-svc and notify-svc ----


def users_to_ask(totals, named):
    """All that are named, and of the others some."""
    others = [user for user, total in totals.items() if total != (0, 0)]
    return sorted({*named, *others[:: max(1, len(others) // USERS_ASKED)]})


def check_analytics(stack, totals, named=()):
    """Every instance, asked directly."""
    net = {user: total for user, total in totals.items() if total != (0, 0)}
    whole = tuple(map(sum, zip(*net.values()))) if net else (0, 0)
    token = admin_token(stack)
    asked = users_to_ask(totals, named)
    for one in stack["services"]["analytics-svc"]:
        base = f"{one['http']}/api/analytics"
        summary = get_json(f"{base}/summary", token)
        window, late = summary["by_window"], summary["late"]
        answer = (summary["total_orders"], cents(summary["total_revenue"]))
        by_window = (
            window["orders"] - window["cancelled"],
            cents(window["revenue"]) - cents(window["refunded"]),
        )
        said = f"{answer}, by window {by_window} (late {late['orders']}), orders {whole}"
        yield Finding(f"{one['name']}: totals", answer == whole == by_window, said)
        bad = []
        for user in asked:
            said = get_json(f"{base}/users/{user}", token)
            if (said["total_orders"], cents(said["total_spent"])) != totals.get(user, (0, 0)):
                bad.append(user)
        yield Finding(f"{one['name']}: users", not bad, f"{len(asked)} asked" + (f", wrong: {bad[:5]}" if bad else ""))


def check_notifications(db, events):
    rows, distinct = db.one(
        "SELECT COUNT(*), COUNT(DISTINCT event_id) FROM {notify}.notifications WHERE order_id IS NOT NULL"
    )
    yield Finding("one notification an event", rows == distinct == events, f"{rows} rows, {events} events")


# ---- all of it ----


def check(stack, skip=(), events=None, users=()):
    """All findings.  Call it at rest: nothing on its way any more (wait_for_rest).  `users`: all of these are asked for."""
    with database(stack) as db:
        totals = user_totals(db)
        findings = list(check_database(db))
        events = events or Events(stack)
        findings += check_events(db, events, totals)
        results = Results(stack)
        findings += check_results(results, totals)
        findings += check_windows(results, events)
        findings += check_dead(stack)
        findings += check_analytics(stack, totals, users)
        findings += check_notifications(db, len(events))
    return [finding for finding in findings if finding.name not in skip]


LAGS = ("outbox", "reservations", "analytics", "notifications")


def lags(stack, db, token):
    """What is still on its way; counting the orders comes last, it takes longest."""
    found = {"outbox": db.one("SELECT COUNT(*) FROM {order}.outbox")[0]}
    pending, returned = db.one(
        "SELECT COALESCE(SUM(state = 'pending'), 0), COALESCE(SUM(state = 'returned'), 0) FROM {product}.reservations"
    )
    created, cancelled = db.one("SELECT COUNT(*), COALESCE(SUM(status = 'cancelled'), 0) FROM {order}.orders")
    found["reservations"] = int(pending) + abs(int(cancelled) - int(returned))
    answers = [
        get_json(f"{one['http']}/api/analytics/summary", token)["total_orders"]
        for one in stack["services"]["analytics-svc"]
    ]
    found["analytics"] = max(abs(created - int(cancelled) - answer) for answer in answers)
    stored = db.one("SELECT COUNT(*) FROM {notify}.notifications WHERE order_id IS NOT NULL")[0]
    found["notifications"] = created + int(cancelled) - stored
    return found


def wait_for_rest(stack, seconds=60):
    """Waits until nothing is on its way; lag -> seconds until it was gone (None: still there)."""
    began, gone = time.monotonic(), dict.fromkeys(LAGS)
    token = admin_token(stack)
    with database(stack) as db:
        while True:
            now = lags(stack, db, token)
            for name, left in now.items():
                if left:
                    gone[name] = None
                elif gone[name] is None:
                    gone[name] = round(time.monotonic() - began, 1)
            if not any(now.values()) or time.monotonic() - began > seconds:
                return gone
            time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack")
    parser.add_argument("--wait", type=float, default=60, help="seconds to wait for rest (60)")
    parser.add_argument("--skip", action="append", default=[], help="an invariant not to look at")
    args = parser.parse_args()
    stack = json.loads(pathlib.Path(args.stack).read_text(encoding="utf-8"))
    rest = wait_for_rest(stack, args.wait)
    print("at rest after", ", ".join(f"{name} {'never' if s is None else f'{s} s'}" for name, s in rest.items()))
    findings = check(stack, args.skip)
    for finding in findings:
        print(f"{'ok    ' if finding.ok else 'BROKEN'} {finding.name}{': ' if finding.detail else ''}{finding.detail}")
    sys.exit(not all(finding.ok for finding in findings))


if __name__ == "__main__":
    main()
