"""Buyers that try again under their key until they are answered, and remember every attempt.

What they remember is the oracle's side of the story: it comes from HTTP answers alone.
"""

import collections
import random
import threading
import time
from dataclasses import dataclass, field

import requests

from .guarded import Guarded

# Codes of API.md that say: nothing was done, try again.
NOTHING_DONE = {"unavailable", "overloaded", "database_unavailable", "database_busy", "too_many_orders", "order_aborted"}
LATER = {"order_in_progress"}
MAYBE_DONE = {502, 504}
HOT, PLENTY = 20, 1_000_000  # pieces of a product at first
UNREADABLE = {"no JSON", "no object"}  # what stands in the place of a code then


def is_internal(status, code):
    """An answer that no fault excuses: a program met what it does not know."""
    return status == 500 or code == "internal"


@dataclass
class Attempt:
    at: float
    seconds: float
    status: int  # 0: no answer
    code: str  # of the problem, or the exception's name
    body: dict | None  # None: no answer, or none that can be read
    replayed: bool = False
    excused: bool = False  # a failpoint may have made it fail

    @property
    def ended(self):
        return self.at + self.seconds

    @property
    def internal(self):
        return is_internal(self.status, self.code)

    @property
    def kind(self):
        """done, final (a refusal that stands), nothing (was done), maybe."""
        if self.code in UNREADABLE:
            return "maybe"
        if self.internal:
            return "maybe" if self.excused else "nothing"
        if 200 <= self.status < 300:
            return "done"
        if self.status == 0 or self.status in MAYBE_DONE:
            return "maybe"
        if self.status in (408, 429, 503) or self.code in NOTHING_DONE:
            return "nothing" if self.code in NOTHING_DONE or self.status == 429 else "maybe"
        return "maybe" if self.code in LATER else "final"


@dataclass
class Request:
    """One wish of a client, with all attempts at it."""

    what: str  # order, cancel, stock
    user: int
    path: str
    body: dict
    key: str | None
    attempts: list = field(default_factory=list)
    cancel: "Request | None" = None  # of this order

    def answers(self, kind):
        return [one for one in self.attempts if one.kind == kind]

    @property
    def settled(self):
        return any(one.kind in ("done", "final") for one in self.attempts)

    @property
    def order_id(self):
        done = self.answers("done")
        return done[0].body["order_id"] if done else None


def read(answer):
    """(code, body) of an answer; no body when it is cut short or no object."""
    try:
        body = answer.json() if answer.content else {}
    except ValueError:
        return "no JSON", None
    return (body.get("code", ""), body) if isinstance(body, dict) else ("no object", None)


class Sender:
    """One HTTP connection of a client; when an answer did not come, to the next gateway."""

    def __init__(self, bases, token=None):
        self.bases, self.token, self.http = collections.deque(bases), token, requests.Session()

    def send(self, request, timeout):
        headers = {"Idempotency-Key": request.key} if request.key else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        began = time.monotonic()
        at = time.time()
        try:
            answer = self.http.post(self.bases[0] + request.path, json=request.body, headers=headers, timeout=timeout)
            replayed = answer.headers.get("Idempotency-Replayed") == "true"
            one = Attempt(at, 0, answer.status_code, *read(answer), replayed)
        except requests.RequestException as error:
            one = Attempt(at, 0, 0, type(error).__name__, None)
            self.bases.rotate()
        one.seconds = time.monotonic() - began
        request.attempts.append(one)
        return one


class Client(Guarded):
    """Makes wishes until told to stop, then sees to it that each is answered."""

    def __init__(self, crowd, number):
        super().__init__()
        self.crowd, self.random = crowd, random.Random(f"{crowd.seed}-{number}")
        self.name = f"{crowd.seed}-{number}"
        self.bases = self.random.sample(crowd.bases, len(crowd.bases))
        self.sender = Sender(self.bases, self.token())
        self.made, self.open = [], []

    def token(self):
        return None

    def work(self):
        while not self.crowd.stopping.is_set():
            self.wish()
            self.crowd.stopping.wait(self.random.uniform(0, self.crowd.pause_s))
        for request in self.open:
            self.insist(request, self.crowd.deadline, 5)
        self.sender.http.close()

    def insist(self, request, deadline, timeout):
        """Again and again until there is an answer that stands; True then."""
        while not request.settled:
            if time.monotonic() > deadline or (self.crowd.stopping.is_set() and deadline < self.crowd.deadline):
                return False
            self.sender.send(request, timeout)
            if not request.settled:
                time.sleep(self.random.uniform(0.02, 0.2))
        return True

    def make(self, request):
        self.made.append(request)
        return request


class Buyer(Client):
    """Orders of one or more lines, twins, repeats, cancellations; sometimes gives up for good."""

    def wish(self):
        rnd, crowd = self.random, self.crowd
        user = rnd.choice(crowd.hot_users if rnd.random() < 0.5 else crowd.users)
        body = {"user_id": user, "items": self.items()}
        key = f"{self.name}-{len(self.made)}"
        order = self.make(Request("order", user, "/api/orders", body, key))
        timeout = rnd.choice((0.3, 1, 3, 10))
        if rnd.random() < 0.08:
            self.twins(order, timeout)
        patience = time.monotonic() + rnd.choice((0.5, 5, 30))
        if not self.insist(order, patience, timeout):
            if rnd.random() < 0.8:
                self.open.append(order)
            return
        if rnd.random() < 0.25:  # an answer that came may still have been lost
            self.sender.send(order, 10)
        if order.order_id and rnd.random() < 0.15:
            self.cancel(order)

    def items(self):
        rnd, crowd = self.random, self.crowd
        shelf = crowd.hot + crowd.plenty if rnd.random() < 0.5 else crowd.hot
        chosen = rnd.sample(shelf, rnd.choice((1, 1, 1, 2, 3)))
        return [{"product_id": product, "quantity": rnd.randint(1, 3)} for product in chosen]

    def twins(self, order, timeout):
        """The same request at the same time, over another connection, and another gateway if there is one."""
        twin = Sender(self.bases[::-1])
        other = threading.Thread(target=self.guard, args=(twin.send, order, timeout), daemon=True)
        other.start()
        self.sender.send(order, timeout)
        other.join()
        twin.http.close()

    def cancel(self, order):
        path = f"/api/orders/{order.order_id}/cancel"
        order.cancel = Request("cancel", order.user, path, {}, None)
        if not self.insist(order.cancel, time.monotonic() + 5, 3):
            self.open.append(order.cancel)


class KeylessBuyer(Client):
    """One attempt an order, without a key; a user of its own, so that its orders can be counted."""

    def __init__(self, crowd, number, user):
        super().__init__(crowd, number)
        self.user = user

    def wish(self):
        body = {"user_id": self.user, "product_id": self.random.choice(self.crowd.plenty), "quantity": 1}
        self.sender.send(self.make(Request("order", self.user, "/api/orders", body, None)), 10)


class Stocker(Client):
    """The admin: stock comes and goes under keys."""

    def token(self):
        return self.crowd.admin_token

    def wish(self):
        product = self.random.choice(self.crowd.hot)
        delta = self.random.choice((-2, 3, 5, 8, 20))
        path = f"/api/products/{product}/stock"
        request = self.make(Request("stock", 0, path, {"delta": delta}, f"{self.name}-{len(self.made)}"))
        if not self.insist(request, time.monotonic() + 5, 3):
            self.open.append(request)
        elif request.answers("done") and self.random.random() < 0.25:
            self.sender.send(request, 10)


class Reader(Guarded):
    """Looks at the shelf as anybody may: never less than nothing on it."""

    def __init__(self, crowd):
        super().__init__()
        self.crowd, self.looks, self.failed, self.negative = crowd, 0, 0, []
        self.broken = []  # answers that nobody shall get

    def work(self):
        http, turn = requests.Session(), 0
        while not self.crowd.stopping.wait(0.1):
            turn += 1
            product, base = (shelf[turn % len(shelf)] for shelf in (self.crowd.hot, self.crowd.bases))
            headers = {"Cache-Control": "no-cache"} if turn % 2 else {}
            try:
                answer = http.get(f"{base}/api/products/{product}", headers=headers, timeout=5)
            except requests.RequestException:
                self.failed += 1
                continue
            code, body = read(answer)
            if answer.status_code != 200 or body is None:
                self.failed += 1
                if is_internal(answer.status_code, code):
                    self.broken.append(f"{answer.status_code} {code} of product {product}")
                continue
            self.looks += 1
            if body["stock"] < 0:
                self.negative.append((product, body["stock"]))


class Crowd:
    """All clients of a run, on users and products of its own."""

    def __init__(self, stack, seed, users=6, buyers=8, pause_s=0.1):
        self.seed, self.bases, self.pause_s = seed, stack.gateways, pause_s
        self.stopping, self.deadline = threading.Event(), float("inf")
        self.admin_token = stack.login("admin")
        self.users = stack.new_users(users)
        self.hot_users = self.users[:2]  # rivals for a user's numbers; a wrong total stays with the others
        self.keyless_user = stack.new_user()[0]
        self.hot = [stack.new_product(stock=HOT, price=9.99 + n) for n in range(3)]
        self.plenty = [stack.new_product(stock=PLENTY, price=0.01 + 7 * n) for n in range(3)]
        self.first_stock = {**dict.fromkeys(self.hot, HOT), **dict.fromkeys(self.plenty, PLENTY)}
        self.clients = [Buyer(self, n) for n in range(buyers)]
        self.clients += [KeylessBuyer(self, "keyless", self.keyless_user), Stocker(self, "admin")]
        self.reader = Reader(self)

    def start(self):
        for thread in (*self.clients, self.reader):
            thread.start()

    def finish(self, seconds):
        """Everybody gets the answers that are missing; True if all came in time."""
        self.deadline = time.monotonic() + seconds
        self.stopping.set()
        for thread in (*self.clients, self.reader):
            thread.join(max(0, self.deadline + 12 - time.monotonic()))
        return not any(thread.is_alive() for thread in self.clients)

    @property
    def requests(self):
        return [request for client in self.clients for request in client.made]

    def all_users(self):
        return [*self.users, self.keyless_user]
