"""The shop at rest: nothing on its way, and no more memory, sockets and descriptors than before."""

import os
import pathlib
import time
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from invariants import EVENTS, RESULTS, Finding, admin_token, database, lags, topic_ends

GROUPS = ("processor", "product-svc", "notify-svc")
# A mail that a dead instance had claimed waits for the end of its lease; mails.py looks later.
LEASE_S = 60


def consumer(stack, group="invariants", isolation="read_committed"):
    return Consumer({
        "bootstrap.servers": stack["kafka"]["bootstrap"], "group.id": group, "enable.auto.commit": False,
        "isolation.level": isolation, "log_level": 0,
    })  # fmt: skip


def group_lag(stack, group):
    """Events that the group has not committed yet."""
    one = consumer(stack, group)
    try:
        ends = topic_ends(one, EVENTS)
        placed = one.committed([TopicPartition(EVENTS, p) for p in ends], timeout=10)
        return sum(ends[at.partition][1] - max(at.offset, ends[at.partition][0]) for at in placed)
    finally:
        one.close()


def undecided(stack):
    """Offsets of the results above the last stable one: an open transaction."""
    ends = []
    for isolation in ("read_committed", "read_uncommitted"):
        one = consumer(stack, isolation=isolation)
        try:
            ends.append({p: end for p, (_, end) in topic_ends(one, RESULTS).items()})
        finally:
            one.close()
    stable, high = ends
    return sum(high[p] - stable[p] for p in high)


def mails_waiting(db):
    """Not counted: those under a lease, perhaps of a dead instance, and their users' next ones, which wait for it."""
    return db.one(
        "SELECT COUNT(*) FROM {notify}.notifications WHERE state = 'pending' AND user_id NOT IN"
        " (SELECT user_id FROM {notify}.notifications WHERE state = 'sending')"
    )[0]


def on_its_way(stack, db, token, whole=False):
    """Not `whole`: what takes longer to ask is asked when nothing else is left."""
    found = lags(stack, db, token)
    found["mails"] = mails_waiting(db)
    if any(found.values()) and not whole:
        return found
    try:
        found.update({f"group {group}": group_lag(stack, group) for group in GROUPS})
        found["open transactions"] = undecided(stack)
    except KafkaException as error:
        found[f"kafka: {error}"] = 1
    return found


def wait(stack, seconds):
    """(seconds it took, what is left then)."""
    began = time.monotonic()
    token = admin_token(stack)
    with database(stack) as db:
        while True:
            late = time.monotonic() - began > seconds
            # In the end all of it is told: the cause may be an open transaction.
            left = {name: count for name, count in on_its_way(stack, db, token, whole=late).items() if count}
            if not left or late:
                return round(time.monotonic() - began, 1), left
            time.sleep(0.3)


def check(stack, seconds):
    """(seconds it took, the finding)."""
    took, left = wait(stack, seconds)
    return took, Finding("everything comes to rest", not left, f"{left}" if left else f"after {took} s")


# ---- memory, sockets, descriptors ----


class Use(NamedTuple):
    rss_mb: float
    files: int
    sockets: int
    threads: int


# What an instance may have beyond the largest of its program before the faults.
SLACK = Use(rss_mb=24, files=24, sockets=24, threads=2)
SESSIONS_SLACK = 8
IDLE_S = 12


def use_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    links = []
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(link))
        except OSError:
            continue
    sockets = sum(link.startswith("socket:") for link in links)
    return Use(int(values["VmRSS"].split()[0]) / 1024, len(links), sockets, int(values["Threads"]))


def uses(shop):
    """Instance -> Use, of our programs."""
    return {name: use_of(one["pid"]) for name, one in shop.entries().items() if one.get("admin")}


def sessions(stack):
    """Connections to the database, by account."""
    with database(stack) as db:
        rows = db.rows("SELECT user, COUNT(*) FROM information_schema.processlist WHERE user LIKE 'shop\\_%' GROUP BY user")
    return {user: count for user, count in rows if user != "shop_reader"}


class Baseline:
    """What the shop used at rest, after load and before the first fault.

    A sanitizer keeps what was freed (ASan 256 MB), so that memory says nothing then.
    """

    def __init__(self, shop):
        self.slack = SLACK._replace(rss_mb=1000) if shop.mode in ("asan", "tsan") else SLACK
        self.kinds = {name: one["kind"] for name, one in shop.entries().items()}
        self.most = {}
        for name, use in uses(shop).items():
            kind = self.kinds[name]
            self.most[kind] = Use(*map(max, use, self.most.get(kind, use)))
        self.sessions = sessions(shop.stack)

    def check(self, shop):
        """Connections that a rush has left idle are closed after 10 s: as long as that it may take."""
        until = time.monotonic() + IDLE_S
        while True:
            findings = [*self._of_processes(shop), *self._of_database(shop)]
            if all(finding.ok for finding in findings) or time.monotonic() > until:
                return findings
            time.sleep(1)

    def _of_processes(self, shop):
        bad, most = [], {}
        for name, use in uses(shop).items():
            allowed = Use(*(a + b for a, b in zip(self.most[self.kinds[name]], self.slack, strict=True)))
            most[self.kinds[name]] = max(most.get(self.kinds[name], 0), round(use.rss_mb))
            bad += [
                f"{name}: {value:.0f} {what}, {limit:.0f} allowed"
                for what, value, limit in zip(Use._fields, use, allowed, strict=True) if value > limit
            ]  # fmt: skip
        yield Finding("memory, sockets, descriptors and threads are back", not bad, "; ".join(bad) or f"MB: {most}")

    def _of_database(self, shop):
        now = sessions(shop.stack)
        much = [f"{user}: {n}, {self.sessions.get(user, 0)} before" for user, n in now.items()
                if n > self.sessions.get(user, 0) + SESSIONS_SLACK]  # fmt: skip
        yield Finding("database sessions are back", not much, "; ".join(much))
