"""What the clients were told, held against the database: yields Findings as tests/invariants.py does.

Reads tables by SQL and knows nothing of the programs but the names of columns and what API.md promises.
"""

from collections import Counter, defaultdict

from invariants import Finding, cents

ORDERS = "/api/orders"
SEEN_A_SECOND = 0.2  # far below what is usual: the database or Kafka may be away for half of a run


def listed(values):
    return ",".join(str(int(value)) for value in values) or "0"


class Truth:
    """The database's side: orders with their lines, and the keys, of these users."""

    def __init__(self, db, users):
        self.orders, self.lines, self.keys = {}, defaultdict(dict), {}
        names = listed(users)
        for row in db.rows(f"SELECT id, user_id, status, total_price FROM {{order}}.orders WHERE user_id IN ({names})"):
            self.orders[row[0]] = {"user": row[1], "status": row[2], "total": cents(row[3])}
        for order, product, quantity, price in db.rows(
            "SELECT i.order_id, i.product_id, i.quantity, i.unit_price FROM {order}.order_items i"
            f" JOIN {{order}}.orders o ON o.id = i.order_id WHERE o.user_id IN ({names})"
        ):
            self.lines[order][product] = (quantity, cents(price))
        for user, key, status, order in db.rows(
            f"SELECT user_id, idempotency_key, status, order_id FROM {{order}}.order_keys WHERE user_id IN ({names})"
        ):
            self.keys[user, key] = (status, order)


def brief(bad):
    return "; ".join(map(str, bad[:4])) + (f" … {len(bad)} in all" if len(bad) > 4 else "")


def finding(name, bad, good=""):
    return Finding(name, not bad, brief(bad) if bad else good)


def wanted_lines(body):
    merged = Counter()
    for item in body.get("items") or [body]:
        merged[item["product_id"]] += item["quantity"]
    return merged


def same_as_told(truth, request, body):
    """What differs between a 201 and the order in the database; "" if nothing."""
    order = truth.orders.get(body["order_id"])
    if not order:
        return f"order {body['order_id']} of key {request.key} does not exist"
    told = {item["product_id"]: (item["quantity"], cents(item["unit_price"])) for item in body["items"]}
    if told != truth.lines[body["order_id"]] or dict(wanted_lines(request.body)) != {p: n for p, (n, _) in told.items()}:
        return f"order {body['order_id']}: lines {told}, {truth.lines[body['order_id']]} in the database"
    if (order["user"], order["total"]) != (request.user, cents(body["total_price"])) or body["user_id"] != request.user:
        return f"order {body['order_id']}: {order}, told {body['total_price']} of user {body['user_id']}"
    return ""


def check_told(truth, orders):
    bad, ids = [], Counter()
    for request in orders:
        done = request.answers("done")
        bad += filter(None, (same_as_told(truth, request, one.body) for one in done))
        ids.update({one.body["order_id"] for one in done})
    bad += [f"order {order} was told to {count} requests" for order, count in ids.items() if count > 1]
    yield finding("every 201 is an order, as it was told", bad, f"{len(ids)} orders")


def check_repeats(orders):
    bad, repeated = [], 0
    for request in orders:
        answers = request.answers("done") + request.answers("final")
        repeated += len(answers) > 1
        told = {(one.status, one.code, str(one.body) if one.status == 201 else "") for one in answers}
        if len(told) > 1:
            bad.append(f"key {request.key}: {told}")
    yield finding("a retried key got the same answer each time", bad, f"{repeated} of {len(orders)} keys")


def check_replays(requests):
    """Who has had the answer and asks again is told that it is the same one (API.md)."""
    bad, count = [], 0
    for request in requests:
        answers = request.answers("done") + request.answers("final")
        for one in answers:
            again = any(other.ended <= one.at for other in answers)
            count += again
            if again and not one.replayed:
                bad.append(f"key {request.key}: {one.status} {one.code}")
    yield finding("a repeated answer says that it is one", bad, f"{count} repeated")


def check_keys(truth, orders, users):
    """Orders under keys: each of one key, each key with one order, no key that nobody sent."""
    known = {(request.user, request.key): request for request in orders}
    bad = [f"unknown key {key}" for key in truth.keys if key not in known and key[0] in users]
    count = Counter(order for _, order in truth.keys.values() if order)
    for order, found in truth.orders.items():
        if found["user"] in users and count[order] != 1:
            bad.append(f"order {order} has {count[order]} keys")
    for key, (_, order) in truth.keys.items():
        request = known.get(key)
        if request and request.order_id and order != request.order_id:
            bad.append(f"key {key}: order {order} in the database, {request.order_id} was told")
    yield finding("one order a key", bad, f"{len(truth.keys)} keys, {len(truth.orders)} orders")


def check_refused(truth, orders):
    """What was refused for good, or said to be undone every time, does not exist."""
    short, final, undone = [], [], []
    refusals = 0
    for request in orders:
        order = truth.keys.get((request.user, request.key), (0, None))[1]
        refused = request.answers("final")
        refusals += bool(refused)
        if order and refused:
            where = short if any(one.code == "insufficient_stock" for one in refused) else final
            where.append(f"order {order} under key {request.key}: {refused[0].status} {refused[0].code}")
        if order and not request.answers("done") and not request.answers("maybe"):
            undone.append(f"order {order} under key {request.key}: {[one.code for one in request.attempts]}")
    yield finding("no order under a key that was told insufficient_stock", short, f"{refusals} refusals")
    yield finding("no order under a key that was refused for good", final)
    yield finding("no order where every answer said that nothing was done", undone)
    odd = {f"{one.status} {one.code}" for r in orders for one in r.answers("final")} - {"409 insufficient_stock"}
    yield finding("nothing was refused but for short stock", sorted(odd))


def check_keyless(truth, orders, user):
    there = {order for order, found in truth.orders.items() if found["user"] == user}
    told = {request.order_id for request in orders if request.order_id}
    maybe = sum(bool(request.answers("maybe")) for request in orders)
    bad = [f"order {order} was told and is not there" for order in told - there]
    if len(there) > len(told) + maybe:
        bad.append(f"{len(there)} orders, but {len(told)} were told and {maybe} attempts left open")
    yield finding("orders without a key: one an attempt at most", bad, f"{len(there)} orders, {len(told)} told")


def check_cancelled(truth, orders):
    bad, count = [], 0
    for request in filter(lambda one: one.order_id in truth.orders, orders):
        status, cancel = truth.orders[request.order_id]["status"], request.cancel
        count += status == "cancelled"
        if cancel and cancel.answers("done") and status != "cancelled":
            bad.append(f"order {request.order_id} is {status} though its cancellation was answered")
        if status == "cancelled" and not (cancel and (cancel.answers("done") or cancel.answers("maybe"))):
            bad.append(f"order {request.order_id} is cancelled though nobody was told so")
        if cancel and cancel.answers("final"):
            bad.append(f"order {request.order_id}: cancellation refused: {cancel.answers('final')[0].code}")
    yield finding("cancelled is what was cancelled", bad, f"{count} orders")


def check_stock(db, requests, first_stock):
    """All changes of the run's products: what each began with, and the admin's, each as he wished it."""
    wished = {(one.path.split("/")[3], one.key): one for one in requests}
    products, keys = (",".join(f"'{name}'" for name in names) for names in (first_stock, (one.key for one in requests)))
    rows = {(product, key): delta for key, product, delta in db.rows(
        "SELECT idempotency_key, product_id, delta FROM {product}.stock_changes"
        f" WHERE product_id IN ({products}) OR idempotency_key IN ({keys or 'NULL'})"
    )}  # fmt: skip
    must = {(product, ""): stock for product, stock in first_stock.items()}
    must.update({place: one.body["delta"] for place, one in wished.items() if one.answers("done")})
    may = {place: one.body["delta"] for place, one in wished.items() if one.answers("maybe")}
    bad = [f"{place}: {delta} wanted, {rows.get(place)} there" for place, delta in must.items() if rows.get(place) != delta]
    bad += [
        f"{place}: {delta} there, {'refused' if place in wished else 'never sent'}"
        for place, delta in rows.items() if place not in must and delta != may.get(place)
    ]  # fmt: skip
    yield finding("every change of stock is there once, and no other", bad, f"{len(rows)} changes")


def last_answer(request):
    """None at all when its client was told to stop before the first attempt."""
    return f"{request.attempts[-1].status} {request.attempts[-1].code}" if request.attempts else "never sent"


def check_open(requests):
    left = [f"{request.what} {request.key or request.path}: {last_answer(request)}" for request in requests]
    yield finding("everybody who kept asking got an answer that stands", left)


def check_shelf(reader):
    yield finding("nobody saw less than nothing on the shelf", reader.negative, f"{reader.looks} looks")


def overlaps(attempt, spans):
    return any(attempt.at <= until and attempt.at + attempt.seconds >= since for since, until in spans)


def excuse(requests, made):
    """made: (since, until) of failpoints that make order-svc fail where it cannot know why: its 500 is right then, but
    only for who orders, and its order may exist."""
    for request in requests:
        for attempt in request.attempts:
            attempt.excused = attempt.internal and request.path == ORDERS and overlaps(attempt, made)


def check_internal(requests, others=()):
    """Whatever breaks, a program knows what to say: 503, 504, 409, never "internal"."""
    bad = [
        f"{one.what} {one.key or one.path}: {attempt.status} {attempt.code}"
        for one in requests for attempt in one.attempts if attempt.internal and not attempt.excused
    ]  # fmt: skip
    yield finding("nobody gets a 500", [*bad, *others])


def check_seen(crowd, watcher, seconds):
    """Who saw nothing found nothing wrong either."""
    least = max(1, round(seconds * SEEN_A_SECOND))
    seen = {
        "looks at the shelf": crowd.reader.looks, "looks at the database": watcher.looks,
        "orders told": sum(one.what == "order" and one.order_id is not None for one in crowd.requests),
    }  # fmt: skip
    few = [f"{count} {what}, {least} wanted" for what, count in seen.items() if count < least]
    yield finding("enough was seen", few, ", ".join(f"{count} {what}" for what, count in seen.items()))
    errors = [error for thread in (*crowd.clients, crowd.reader, watcher) for error in thread.errors]
    yield finding("no observer broke down", errors)


def check(db, crowd, made=()):
    """made: as for excuse()."""
    requests = crowd.requests
    cancels = [one.cancel for one in requests if one.cancel]
    excuse([*requests, *cancels], made)
    keyed = [one for one in requests if one.what == "order" and one.key]
    keyless = [one for one in requests if one.what == "order" and not one.key]
    stock = [one for one in requests if one.what == "stock"]
    truth = Truth(db, crowd.all_users())
    yield from check_told(truth, keyed + keyless)
    yield from check_repeats(keyed)
    yield from check_replays(keyed + stock)
    yield from check_keys(truth, keyed, set(crowd.users))
    yield from check_refused(truth, keyed)
    yield from check_keyless(truth, keyless, crowd.keyless_user)
    yield from check_cancelled(truth, keyed)
    yield from check_stock(db, stock, crowd.first_stock)
    waiting = [one for client in crowd.clients for one in client.open if not one.settled]
    yield from check_open(waiting)
    yield from check_shelf(crowd.reader)
    yield from check_internal([*requests, *cancels], crowd.reader.broken)
