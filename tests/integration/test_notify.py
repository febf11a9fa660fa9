"""notify-svc: one mail for each event, retried, given up in the open."""

import getpass
import json
import pathlib
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest
from shop_stack import Stack, until


@pytest.fixture(scope="module")
def shop():
    """Few tries, so that giving up takes seconds; two instances that share the work."""
    stack = Stack()
    try:
        yield stack.up(instances={"notify-svc": 2}, env=("notify-svc:MAIL_MAX_TRIES=3",))
    finally:
        stack.close()


@pytest.fixture
def customer(shop):
    user, token = shop.new_user("Anna Prüfer")
    email = shop.sql("user-svc", "SELECT email FROM users WHERE id = %s", user)[0][0]
    return user, token, email


def new_users(shop, n):
    users = [shop.new_user()[0] for _ in range(n)]
    text = f"SELECT email FROM users WHERE id IN ({','.join(map(str, users))}) ORDER BY id"
    return users, [row[0] for row in shop.sql("user-svc", text)]


def mails_of(shop, emails):
    return [mail for email in emails for mail in shop.mails(email)]


def notices(shop, user, **more):
    answer = shop.api("GET", "/api/notifications", params={"user_id": user, **more}, token="admin")
    assert answer.status_code == 200, answer.text
    return answer.json()["notifications"]


def state(shop, user):
    return [one["state"] for one in notices(shop, user)]


def stored(shop, *users):
    """The states from the database: no instance need be there to ask."""
    text = f"SELECT state FROM notifications WHERE user_id IN ({','.join(map(str, users))}) ORDER BY id"
    return [row[0] for row in shop.sql("notify-svc", text)]


def nobody_waits(shop):
    """Mails of tests before, and of the demo data, hold no place."""
    orders = shop.sql("order-svc", "SELECT COUNT(*) FROM orders")[0][0]
    count = "SELECT COUNT(*), COALESCE(SUM(state IN ('pending', 'sending')), 0) FROM notifications"
    until(lambda: (found := shop.sql("notify-svc", count)[0])[0] >= orders and found[1] == 0, 90, "an end for all mails")


def event(user, order, **more):
    return {
        "order_id": order, "user_id": user, "price": 12.5, "quantity": 2, "timestamp": "2025-11-24T21:13:22Z",
        "type": "order.created", "event_id": secrets.token_hex(16), "seq": order, **more,
    }  # fmt: skip


def send(shop, *events):
    """Straight to the topic, as the relay would; each as a number of bytes or an object."""
    producer = shop.kafka_producer()
    for one in events:
        value = one if isinstance(one, bytes) else json.dumps(one).encode()
        producer.produce("orders-events", key="1" if isinstance(one, bytes) else str(one["user_id"]), value=value)
    assert producer.flush(20) == 0


def metric(shop, name, labels=""):
    return sum(shop.metric("notify-svc", name, labels, index) for index in (0, 1))


def admin(shop, statement):
    """As the administrator of the database, in notify-svc's schema."""
    mysql = shop["mysql"]
    schema = mysql["databases"]["notify-svc"]
    with pymysql.connect(unix_socket=mysql["socket"], user=getpass.getuser(), database=schema) as db, db.cursor() as cursor:
        cursor.execute(statement)


def test_mails_of_an_order_and_its_cancellation(shop, customer):
    user, token, email = customer
    product = shop.new_product(price=12.5)
    order = shop.order(user, product, 2, token=token).json()["order_id"]
    mail = until(lambda: shop.mails(email), 20, "the mail")[0]
    assert mail["subject"] == f"Order {order} is placed" and "shop@example.com" in mail["from"]
    assert f"2 x {product}  at 12.50" in mail["body"] and "Total: 25.00 USD" in mail["body"]
    assert "Hello Anna Prüfer," in mail["body"] and "@example.com>" in mail["message_id"]
    assert shop.api("POST", f"/api/orders/{order}/cancel", token=token).status_code == 200
    until(lambda: len(shop.mails(email)) == 2, 20, "the second mail")
    assert shop.mails(email)[1]["subject"] == f"Order {order} is cancelled"
    until(lambda: state(shop, user) == ["sent", "sent"])
    listed = notices(shop, user)
    assert [n["type"] for n in listed] == ["order.cancelled", "order.created"]
    assert listed[1]["order_id"] == order and listed[1]["tries"] == 1 and "last_error" not in listed[1]
    # Their own, and nobody else's.
    assert shop.api("GET", "/api/notifications", token=token).json()["notifications"][0]["user_id"] == user
    assert shop.api("GET", f"/api/notifications?user_id={user}", token="demo").status_code == 403


def test_an_order_as_large_as_can_be(shop, customer):
    """Beyond 2^33 doubles are nearly as far apart as what an amount may be off."""
    user, token, email = customer
    dead = len(shop.events("orders-dlq"))
    product = shop.new_product(price=9999983.30, stock=1000)
    assert shop.order(user, product, 999, token=token).status_code == 201
    mail = until(lambda: shop.mails(email), 20, "the mail")[0]
    assert "Total: 9989983316.70 USD" in mail["body"]
    until(lambda: shop.totals(user)["total_spent"] == 9989983316.70)
    assert len(shop.events("orders-dlq")) == dead


def test_an_event_that_comes_again_makes_no_second_mail(shop, customer):
    user, _, email = customer
    one, two = event(user, 1001), event(user, 1002)
    bare = {k: one[k] for k in ("order_id", "user_id", "price", "quantity", "timestamp")} | {"order_id": 1003}
    send(shop, *[one, two, one, bare, bare] * 5)
    until(lambda: len(shop.mails(email)) == 3, 20, "the mails")
    send(shop, one, two, bare)
    time.sleep(2)
    assert len({m["message_id"] for m in shop.mails(email)}) == len(shop.mails(email)) == 3
    assert state(shop, user) == ["sent"] * 3


def test_two_instances_send_each_mail_once(shop):
    users, emails = new_users(shop, 12)
    send(shop, *[event(user, n) for n in range(1, 6) for user in users])
    until(lambda: all(state(shop, user) == ["sent"] * 5 for user in users), 30, "60 mails")
    mails = mails_of(shop, emails)
    assert len(mails) == len({mail["message_id"] for mail in mails}) == 60
    for user, email in zip(users, emails, strict=True):
        subjects = [mail["subject"] for mail in shop.mails(email)]
        assert subjects == [f"Order {n} is placed" for n in range(1, 6)], user


def test_events_wait_for_the_database(shop, customer):
    """Not stored is not read: an event comes again until there is a row for it."""
    user, _, email = customer
    not_stored = [len(re.findall("not stored", shop.log(f"notify-svc.{n}"))) for n in (1, 2)]
    admin(shop, "RENAME TABLE notifications TO notifications_away")
    try:
        send(shop, event(user, 1), event(user, 2))
        until(lambda: [len(re.findall("not stored", shop.log(f"notify-svc.{n}"))) for n in (1, 2)] != not_stored)
    finally:
        admin(shop, "RENAME TABLE notifications_away TO notifications")
    until(lambda: state(shop, user) == ["sent", "sent"], 20, "the mails")
    assert len(shop.mails(email)) == 2


def test_that_nothing_can_be_claimed_is_said_once(shop):
    """Every second it is tried again; a line each time would hide the rest of the log."""
    def count(line):
        return [len(re.findall(line, shop.log(f"notify-svc.{n}"))) for n in (1, 2)]

    said, over = (lambda: count('"warn".*"nothing claimed"')), (lambda: count('"claimed again"'))
    until(lambda: said() == over(), 30, "the end of the outage of the test before")
    before = said()
    for turn in (1, 2):
        admin(shop, "RENAME TABLE notifications TO notifications_away")
        try:
            until(lambda turn=turn: said() == [n + turn for n in before], 30)
            time.sleep(3)  # more tries
        finally:
            admin(shop, "RENAME TABLE notifications_away TO notifications")
        assert said() == [n + turn for n in before]
        until(lambda: over() == said(), 30, "that they claim again")


def test_poison_is_passed_over(shop, customer):
    user, _, email = customer
    before = metric(shop, "shop_events_poison_total"), metric(shop, "shop_events_ignored_total")
    send(shop, b"{", b"[]", b'{"order_id":1}', event(user, 7, type="order.praised"), event(user, 8, price="x"),
         event(user, 9, event_id="a\r\nBcc: evil@example.com"), event(user, 10))  # fmt: skip
    until(lambda: len(shop.mails(email)) == 1, 20, "the good one")
    assert metric(shop, "shop_events_poison_total") == before[0] + 5
    assert metric(shop, "shop_events_ignored_total") == before[1] + 1


def test_retries_until_the_server_accepts(shop, customer):
    user, _, email = customer
    shop.mail_reply("451 try later")
    try:
        send(shop, event(user, 1))
        until(lambda: notices(shop, user) and notices(shop, user)[0].get("last_error"), 20, "a failed try")
        assert "451" in notices(shop, user)[0]["last_error"]
    finally:
        shop.mail_reply()
    until(lambda: state(shop, user) == ["sent"], 20, "the mail")
    assert len(shop.mails(email)) == 1
    assert 2 <= notices(shop, user)[0]["tries"] <= 3


@pytest.mark.parametrize(
    ("reply", "tries"),
    [
        ("451 try later", 3),
        ("550 no such mailbox", 1),
        ("550 5.1.1 no such mailbox", 1),
        ("550 5.7.1 relaying denied", 3),  # about us: somebody will mend it
        ("553 5.1.8 sender's domain not found", 3),
        ("550 5.1.1 no such mailbox " + 200 * "x", 1),
        ("550 5.7.1 relaying denied " + 200 * "x", 3),
        # libcurl says QUIT before it tells us; what is answered to that is no part of the refusal.
        ("RCPT 550 no such mailbox\nQUIT 221 2.0.0 Bye", 1),
        ("RCPT 550 5.1.1 no such mailbox\nQUIT 221 2.0.0 Bye", 1),
        ("RCPT 550 5.7.1 relaying denied\nQUIT 221 Bye", 3),
        ("RCPT 550 5.7.1 relaying denied\nQUIT 550 5.1.1 Bye", 3),
        ("RCPT 550 no such mailbox\nQUIT wait 90", 1),
        ("MAIL 550 sender rejected", 3),  # nobody was named yet
        ("MAIL 550 5.1.1 sender rejected", 3),
    ],
    ids=lambda value: str(value).replace("\n", ", ")[:60],
)
def test_gives_up_in_the_open(shop, customer, reply, tries):
    user, token, email = customer
    shop.mail_reply(reply)
    try:
        send(shop, event(user, 1))
        until(lambda: state(shop, user) == ["failed"], 30, "the end of trying")
    finally:
        shop.mail_reply()
    one = notices(shop, user)[0]
    assert one["tries"] == tries and re.search(r"\d{3}", reply)[0] in one["last_error"]
    # Why is for operators.
    assert "last_error" not in shop.api("GET", "/api/notifications", token=token).json()["notifications"][0]
    time.sleep(2)
    assert shop.mails(email) == [] and state(shop, user) == ["failed"]
    until(lambda: shop.metric("notify-svc", "shop_notifications_failed") >= 1, 20, "the alarm")


def test_nobody_to_write_to(shop):
    send(shop, event(999_999_999, 1))
    until(lambda: state(shop, 999_999_999) == ["failed"], 20, "the end of trying")
    assert notices(shop, 999_999_999)[0]["last_error"] == "there is no such user"


def test_a_message_by_hand_is_safe_and_sent_once(shop, customer):
    user, token, email = customer
    body = {"user_id": user, "subject": "Grüße =?x?=", "body": ".\n.hidden\r\nBcc: evil@example.com\n\nEnd"}
    assert shop.api("POST", "/api/notifications", json=body, token=token).status_code == 403
    for long in ({"subject": "ü" * 201}, {"body": "語" * 10001}):
        answer = shop.api("POST", "/api/notifications", json={**body, **long}, token="admin")
        assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == next(iter(long))
    for subject in ("a\r\nBcc: evil@example.com", "a\nb", "", "x" * 201, "a\u0000b"):
        assert shop.api("POST", "/api/notifications", json={**body, "subject": subject}, token="admin").status_code == 400
    key = secrets.token_hex(8)
    for replayed in (None, "true"):
        answer = shop.api("POST", "/api/notifications", json=body, token="admin", key=key)
        assert answer.status_code == 201 and answer.headers.get("Idempotency-Replayed") == replayed
    other = shop.api("POST", "/api/notifications", json={**body, "body": "x"}, token="admin", key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    mail = until(lambda: shop.mails(email), 20, "the mail")[0]
    assert mail["subject"] == body["subject"] and mail["to"] == [email]
    assert mail["body"].replace("\r\n", "\n").endswith(".\n.hidden\nBcc: evil@example.com\n\nEnd")
    assert len(shop.mails(email)) == 1


def test_pages_are_whole(shop, customer):
    user, token, _ = customer
    send(shop, *[event(user, n) for n in range(1, 8)])
    until(lambda: len(notices(shop, user)) == 7)
    seen, cursor = [], None
    while True:
        page = shop.api("GET", "/api/notifications", params={"limit": 3, "cursor": cursor}, token=token).json()
        seen += [n["notification_id"] for n in page["notifications"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(seen) == 7 and seen == sorted(seen, reverse=True)
    for query in ("limit=0", "limit=101", "cursor=x", "cursor=0", "cursor=%FF", f"cursor={'1' * 2100}", "user_id=x"):
        assert shop.api("GET", f"/api/notifications?{query}", token=token).status_code == 400, query


def test_killed_while_sending(shop):
    """What a dead instance held goes out when its lease ends; nothing is lost, and what the dead one
    had not sent is sent once."""
    users, emails = new_users(shop, 4)
    shop.mail_reply("451 try later")
    send(shop, *[event(user, n) for n in range(1, 6) for user in users])
    until(lambda: sum(len(notices(shop, user)) for user in users) == 20)
    shop.kill("notify-svc.1")
    shop.mail_reply()
    shop.start("notify-svc.1")
    count = f"SELECT COUNT(*) FROM notifications WHERE user_id IN ({','.join(map(str, users))}) AND state "
    until(lambda: shop.sql("notify-svc", count + "IN ('sent', 'failed')")[0][0] == 20, 90, "an end for each")
    with ThreadPoolExecutor(4) as pool:
        mails = [mail for found in pool.map(shop.mails, emails) for mail in found]
    assert len({mail["message_id"] for mail in mails}) == len(mails)
    assert len(mails) == shop.sql("notify-svc", count + "= 'sent'")[0][0]


@pytest.mark.parametrize("seconds", [65, pytest.param(130, marks=pytest.mark.slow)])
def test_a_server_that_takes_its_time(shop, customer, seconds):
    """It has the mail: who asks again before it answers sends a second one.  Longer than a lease, with another
    instance that would take over; and longer than libcurl waits by itself."""
    user, _, email = customer
    nobody_waits(shop)
    shop.mail_reply(f"wait {seconds}")
    try:
        send(shop, event(user, 1))
        until(lambda: len(shop.mails(email)) == 1, 20, "that the server has it")
    finally:
        shop.mail_reply()
    until(lambda: state(shop, user) == ["sent"], seconds + 25, "its answer")
    assert len(shop.mails(email)) == 1 and notices(shop, user)[0]["tries"] == 1


def test_one_user_holds_up_nobody(shop, customer):
    """His mails wait while one of them is under way, in order and with any instance; those of others do not."""
    user, _, email = customer
    (other,), (other_email,) = new_users(shop, 1)
    nobody_waits(shop)
    shop.stop("notify-svc.2")
    try:
        shop.mail_reply("wait 65")
        send(shop, event(user, 1))
        until(lambda: len(shop.mails(email)) == 1, 20, "that the server has the first")
        shop.mail_reply()
        send(shop, *[event(user, n) for n in range(2, 13)])
        until(lambda: len(stored(shop, user)) == 12)
        send(shop, event(other, 1))
        until(lambda: stored(shop, other) == ["sent"], 40, "the other user's mail")
        assert stored(shop, user) == ["sending"] + 11 * ["pending"] and len(shop.mails(other_email)) == 1
    finally:
        shop.mail_reply()
        shop.start("notify-svc.2")
    until(lambda: stored(shop, user) == ["sent"] * 12, 90, "all mails")
    assert [mail["subject"] for mail in shop.mails(email)] == [f"Order {n} is placed" for n in range(1, 13)]


def test_a_stop_gives_back_what_waits(shop):
    """Mails under way end; those that wait for a thread are another instance's at once."""
    users, emails = new_users(shop, 20)
    unrecorded = lambda: shop.log("notify-svc.1").count("outcome of a mail not recorded")  # noqa: E731
    before = unrecorded()
    nobody_waits(shop)
    shop.stop("notify-svc.2")
    shop.mail_reply("wait 3")
    try:
        send(shop, *[event(user, 1) for user in users])
        until(lambda: {"sent", "sending"} <= set(stored(shop, *users)), 30, "a sent one, and some that wait")
        shop.stop("notify-svc.1")
        there = stored(shop, *users)
        text = f"SELECT SUM(tries) FROM notifications WHERE user_id IN ({','.join(map(str, users))})"
        assert shop.sql("notify-svc", text)[0][0] == there.count("sent"), "who was given back was not tried"
        assert set(there) == {"sent", "pending"} and there.count("sent") == len(mails_of(shop, emails)) < 20
    finally:
        shop.mail_reply()
        shop.start("notify-svc.1")
        shop.start("notify-svc.2")
    assert unrecorded() == before
    until(lambda: stored(shop, *users) == ["sent"] * 20, 30, "all mails")
    assert len(mails_of(shop, emails)) == 20


def is_stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"


def test_sleeps_past_its_lease(shop):
    """What it held is another's by then: of what waited for the one thread that was free, only the mail that was
    under way goes out twice."""
    holders, held = new_users(shop, 3)
    users, emails = new_users(shop, 5)
    nobody_waits(shop)
    shop.stop("notify-svc.2")
    shop.restart("notify-svc.1", "--env", "FAILPOINTS=notify_sent:1:stop")
    try:
        shop.mail_reply("wait 90")
        send(shop, *[event(user, 1) for user in holders])
        until(lambda: len(mails_of(shop, held)) == 3, 20, "that three threads are taken")
        shop.mail_reply()
        shop.kill("mail", "STOP")
        send(shop, *[event(user, 1) for user in users])
        until(lambda: stored(shop, *users) == ["sending"] * 5, 10, "that it holds all of them")
        shop.kill("mail", "CONT")
        until(lambda: is_stopped(shop.instances("notify-svc")[0]["pid"]), 30, "the first mail")
        assert len(mails_of(shop, emails)) == 1
        shop.start("notify-svc.2")
        until(lambda: stored(shop, *holders, *users) == ["sent"] * 8, 90, "the end of the leases")
        lost = lambda: shop.log("notify-svc.1").count("the lease was lost")  # noqa: E731
        before = lost()
        # Each mail that the server took stops it again.
        until(lambda: shop.kill("notify-svc.1", "CONT") or lost() == before + 8, 60, "that it gives up all of them")
    finally:
        shop.mail_reply()
        for name in ("mail", "notify-svc.1"):
            shop.kill(name, "CONT")
        shop.restart("notify-svc.1", "--env", "FAILPOINTS=")
    ids = [mail["message_id"] for mail in mails_of(shop, emails)]
    assert len(ids) == 6 and len(set(ids)) == 5
    assert stored(shop, *users) == ["sent"] * 5


def test_many_events_at_once(shop, customer):
    """More than a statement holds, some of them known already: each makes one row, whatever stands beside it."""
    user = customer[0]
    many = [event(user, 20_000 + n) for n in range(300)]
    stored = metric(shop, "shop_notifications_stored_total")
    repeated = metric(shop, "shop_notifications_repeated_total")
    send(shop, *many[:50])
    until(lambda: metric(shop, "shop_notifications_stored_total") == stored + 50)
    send(shop, *many, *many[::7])
    until(lambda: metric(shop, "shop_notifications_stored_total") == stored + 300)
    until(lambda: metric(shop, "shop_notifications_repeated_total") >= repeated + 50 + len(many[::7]))
    rows = shop.sql("notify-svc", "SELECT event_id, subject FROM notifications WHERE user_id = %s", user)
    assert sorted(rows) == sorted((e["event_id"], f"Order {e['order_id']} is placed") for e in many)


def test_old_notifications_are_deleted():
    """Those that were sent or given up long ago; never one that is still to be sent."""
    stack = Stack()
    try:
        shop = stack.up(env=("notify-svc:SWEEP_EVERY_MS=100", "notify-svc:KEEP_DAYS=30", "notify-svc:MAIL_MAX_PENDING=4"))
        row = (
            "INSERT INTO notifications (user_id, event_id, channel, type, subject, body, state, next_try_at, created_at)"
            " VALUES (%s, %s, 'email', 'message', 's', 'b', %s, NOW(3) - INTERVAL %s DAY, NOW(3) - INTERVAL %s DAY)"
        )
        for state_name, days in [("sent", 31), ("failed", 31), ("sent", 29), ("failed", 29)]:
            for _ in range(3):
                shop.sql("notify-svc", row, 900, secrets.token_hex(16), state_name, days, days, write=True)
        left = "SELECT state, COUNT(*) FROM notifications WHERE user_id = 900 GROUP BY state ORDER BY state"
        until(lambda: sorted(shop.sql("notify-svc", left)) == [("failed", 3), ("sent", 3)], 10, "the sweep")
        assert shop.metric("notify-svc", "shop_notifications_deleted_total") == 6
        # Too many wait: events stay in Kafka until there is room, and then come.
        for _ in range(4):
            shop.sql("notify-svc", row.replace("NOW(3) - INTERVAL %s DAY, NOW", "NOW(3) + INTERVAL %s DAY, NOW"),
                     901, secrets.token_hex(16), "pending", 1, 1, write=True)  # fmt: skip
        until(lambda: shop.metric("notify-svc", "shop_notifications_pending") == 4, 15, "the count")
        send(shop, event(902, 1))
        until(lambda: shop.metric("notify-svc", "shop_notifications_full") == 1, 10, "the intake to pause")
        time.sleep(1)
        assert shop.sql("notify-svc", "SELECT COUNT(*) FROM notifications WHERE user_id = 902")[0][0] == 0
        shop.sql("notify-svc", "DELETE FROM notifications WHERE user_id = 901", write=True)
        until(lambda: shop.sql("notify-svc", "SELECT COUNT(*) FROM notifications WHERE user_id = 902")[0][0] == 1, 30)
        until(lambda: shop.metric("notify-svc", "shop_notifications_full") == 0, 10)
    finally:
        stack.close()
