"""One e-mail an order event, looked for at the mail server and nowhere else.

A mail whose sender died between the server's OK and our record of it goes out again, when the lease ends
that the dead one had.  So a run's mails are looked at when that is over, and a second mail is forgiven only if
notify-svc, its database or the mail server was disturbed between the two (DESIGN.md section 4), and no more of them than
were under way then.
"""

import pathlib
import re
from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from invariants import Finding

ID = re.compile(rb"^Message-ID: <([0-9a-zA-Z.]+)@", re.M)
WINDOW_S = 75  # until a mail goes out again: the lease of 60 s, and what waits then
GUILTY = ("notify-svc", "mysql", "mail", "net-mysql", "net-mail")
SLOTS = 8  # mails under way in one instance: SLOTS of notify-svc/sender.c
TRY_S = 5  # a fault that lasts may hit as many again after so long


class Mailbox:
    """Event -> times of its mails; reads each file once."""

    def __init__(self, stack):
        self.folder, self.read = pathlib.Path(stack.dir, "mail"), set()
        self.sent, self.strange = defaultdict(list), []

    def look(self):
        for path in self.folder.glob("*.eml"):
            if path.name in self.read:
                continue
            self.read.add(path.name)
            found = ID.search(path.read_bytes()[:4000])
            if found:
                self.sent[found[1].decode()].append(path.stat().st_mtime)
            else:
                self.strange.append(path.name)
        return self


# They disturb only who writes to the same rows, and notify-svc does not.
HARMLESS = ("hold_rows", "deadlock")


def disturbs(fault):
    return fault.target.startswith(GUILTY) and fault.kind not in HARMLESS


class Disturbance(NamedTuple):
    """Of whoever sends mail, until he does so as before; with the most mails that may go out again for it."""

    since: float
    until: float
    most: int

    def explains(self, first, second):
        return self.since <= second and first <= self.until and second <= self.until + WINDOW_S


def most_again(fault, strikes, seconds, instances):
    """How many mails a fault can send out again; `strikes` as faults.py counts them."""
    if (fault.target, fault.kind) == ("net-mail", "lose"):
        return strikes  # one an answer that is lost
    if fault.kind == "failpoint":
        strikes += 2  # the process ends when the failpoint comes and when it goes
    if fault.target.startswith("notify-svc") or fault.kind in ("cut_sessions", "lose"):
        return strikes * SLOTS
    return (1 + int(seconds // TRY_S)) * SLOTS * instances


def unexplained(twice, disturbances):
    """Of {event: times} those that no disturbance explains which has not explained its share yet."""
    left, bad = [one.most for one in disturbances], []
    pairs = [(second, first, event) for event, times in twice.items() for first, second in pairwise(sorted(times))]
    for second, first, event in sorted(pairs):
        able = [n for n, one in enumerate(disturbances) if left[n] > 0 and one.explains(first, second)]
        if able:
            left[min(able, key=lambda n: disturbances[n].until)] -= 1
        else:
            bad.append(event)
    return bad


def unsent(db):
    """In somebody's hands, be he dead or alive, or behind one that is: a user's mails go out one after the other."""
    return db.one("SELECT COUNT(*) FROM {notify}.notifications WHERE state IN ('pending', 'sending')")[0]


def check(mailbox, events, known, disturbances):
    """`events`: ids of the run's order events; `known`: of all; both as orders-events has them."""
    missing = [event for event in events if not mailbox.sent.get(event)]
    twice = {event: mailbox.sent[event] for event in events if len(mailbox.sent.get(event, ())) > 1}
    bad = unexplained(twice, disturbances)
    unknown = [event for event in mailbox.sent if event not in known] + mailbox.strange
    told = f"{len(events)} events" + (f", {len(missing)} without mail: {missing[:4]}" if missing else "")
    yield Finding("one e-mail an order event", not missing, told)
    told = f"{len(twice)} went out twice" + (f", unexplained: {bad[:4]}" if bad else "")
    yield Finding("a second e-mail only in the documented window", not bad, told)
    yield Finding("no e-mail without an order", not unknown, f"{unknown[:4]}" if unknown else "")
