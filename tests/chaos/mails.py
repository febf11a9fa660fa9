"""One e-mail an order event, looked for at the mail server and nowhere else.

A mail whose sender died between the server's OK and our record of it goes out again, when the lease ends
that the dead one had.  So a run's mails are looked at when that is over, and a second mail is forgiven only if
notify-svc, its database or the mail server was disturbed between the two (DESIGN.md section 4).
"""

import pathlib
import re
from collections import defaultdict

from invariants import Finding

ID = re.compile(rb"^Message-ID: <([0-9a-zA-Z.]+)@", re.M)
WINDOW_S = 75  # until a mail goes out again: the lease of 60 s, and what waits then
GUILTY = ("notify-svc", "mysql", "mail", "user-svc", "gateway", "net-mysql", "net-mail")


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


def explained(times, disturbances):
    """Was somebody who sends mail disturbed before the last of them, and not long before the first?"""
    first, last = min(times), max(times)
    return any(since <= last and first - WINDOW_S <= until for since, until in disturbances)


def claimed(db):
    return db.one("SELECT COUNT(*) FROM {notify}.notifications WHERE state = 'sending'")[0]


def check(mailbox, events, known, disturbances):
    """`events`: ids of the run's order events; `known`: of all; both as orders-events has them."""
    missing = [event for event in events if not mailbox.sent.get(event)]
    twice = [event for event in events if len(mailbox.sent.get(event, ())) > 1]
    bad = [event for event in twice if not explained(mailbox.sent[event], disturbances)]
    unknown = [event for event in mailbox.sent if event not in known] + mailbox.strange
    told = f"{len(events)} events" + (f", {len(missing)} without mail: {missing[:4]}" if missing else "")
    yield Finding("one e-mail an order event", not missing, told)
    told = f"{len(twice)} went out twice" + (f", unexplained: {bad[:4]}" if bad else "")
    yield Finding("a second e-mail only in the documented window", not bad, told)
    yield Finding("no e-mail without an order", not unknown, f"{unknown[:4]}" if unknown else "")
