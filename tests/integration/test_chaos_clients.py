"""The clients and observers of a chaos run: what they take for an answer, and who saw or did nothing is found."""

import http.server
import threading
from types import SimpleNamespace

import pytest
from chaos import oracle
from chaos.clients import Buyer, Crowd, Reader, Sender
from chaos.sitting import Sitting
from chaos.watcher import AT_ANY_MOMENT, Watcher
from chaos_stories import USER, breaks_down, names_broken, observers, wish
from invariants import Database
from shop_stack import until


class Answers(http.server.BaseHTTPRequestHandler):
    """Whatever is asked for, the server's `text` under its `status`."""

    def answer(self):
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.text)))
        self.end_headers()
        self.wfile.write(self.server.text)

    do_GET = answer  # noqa: N815

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def log_message(self, *_):
        pass


@pytest.fixture
def answers():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.bases = [f"http://127.0.0.1:{server.server_port}"]
        yield server
        server.shutdown()


@pytest.mark.parametrize("text", [b"[]", b'"order"', b"null", b'{"order_id": 1'])
def test_an_answer_that_is_no_object_is_an_attempt(text, answers):
    """One that says nothing: the order may be there."""
    answers.status, answers.text = 201, text
    order = wish("key")
    one = Sender(answers.bases).send(order, 5)
    assert order.attempts == [one] and (one.status, one.kind, order.order_id) == (201, "maybe", None)


def test_who_gets_no_answer_asks_the_next_gateway(answers):
    answers.status, answers.text = 503, b"{}"
    sender = Sender(["http://127.0.0.1:1", *answers.bases])
    assert [sender.send(wish("key"), 5).status for _ in range(3)] == [0, 503, 503]


def test_a_reader_tells_a_500(answers):
    answers.status, answers.text = 500, b'{"code": "internal"}'
    reader = Reader(SimpleNamespace(bases=answers.bases, hot=["P"], stopping=threading.Event()))
    reader.start()
    until(lambda: reader.broken)
    reader.crowd.stopping.set()
    reader.join(10)
    assert not reader.errors and reader.looks == 0


def test_who_saw_nothing_found_nothing():
    assert names_broken(oracle.check_seen(*observers(), 30)) == set()
    for few in ({"orders": 0}, {"looks": 0}, {"seen": 0}):
        assert names_broken(oracle.check_seen(*observers(**few), 30)) == {"enough was seen"}


def test_an_observer_that_breaks_down_is_found(monkeypatch):
    """Each of them, and the twin of a client's request."""
    stopping = threading.Event()
    crowd = SimpleNamespace(
        seed=1, bases=[""], stopping=stopping, pause_s=0, deadline=0, hot=["P"], plenty=["P"], all_users=lambda: [USER],
        admin_token="", users=[USER], hot_users=[USER],
    )  # fmt: skip
    monkeypatch.setattr("chaos.watcher.Database", breaks_down)
    buyer, reader, watcher = Buyer(crowd, 0), Reader(crowd), Watcher(None, crowd)
    buyer.wish = breaks_down
    monkeypatch.setattr("chaos.clients.requests.Session", lambda: SimpleNamespace(get=breaks_down, close=lambda: None))
    for thread in (buyer, reader, watcher):
        thread.start()
        thread.join(10)
    told = SimpleNamespace(requests=[], clients=[buyer], reader=reader)
    found = {one.name: one for one in oracle.check_seen(told, watcher, 30)}["no observer broke down"]
    assert not found.ok and all(f"{kind}: KeyError" in found.detail for kind in ("Buyer", "Reader", "Watcher"))
    twin = Buyer(crowd, 1)
    monkeypatch.setattr("chaos.clients.Sender", lambda _: SimpleNamespace(send=breaks_down, http=reader))
    monkeypatch.setattr(reader, "close", lambda: None, raising=False)
    twin.sender = SimpleNamespace(send=lambda *_: None)
    twin.twins(wish("key"), 1)
    assert twin.errors


def test_a_client_that_hangs_is_found():
    """Alive after its time, by a crowd whose time is over at once."""
    end = threading.Event()
    client = threading.Thread(target=end.wait, daemon=True)
    crowd = Crowd.__new__(Crowd)
    crowd.clients, crowd.reader, crowd.stopping = [client], threading.Thread(target=end.wait), threading.Event()
    crowd.start()
    sitting = Sitting.__new__(Sitting)
    sitting.shop = SimpleNamespace(heal=lambda: None)
    impatient = SimpleNamespace(finish=lambda _: Crowd.finish(crowd, -12))
    hanging, done = (SimpleNamespace(findings=[], times={}) for _ in range(2))
    sitting.heal(hanging, impatient)
    end.set()
    sitting.heal(done, crowd)
    assert [(one.name, one.ok) for one in hanging.findings + done.findings] == [
        ("no client hangs", False), ("no client hangs", True),
    ]  # fmt: skip


def test_many_users_are_made_at_once(stack):
    users = stack.new_users(30)
    assert len(set(users)) == 30
    product = stack.new_product(stock=10)
    assert stack.order(users[0], product, 1).status_code == stack.order(users[-1], product, 1).status_code == 201


def test_damage_at_any_moment_is_seen(stack):
    user, _ = stack.new_user()
    product = stack.new_product(stock=10)
    order = stack.order(user, product, 2, key="one").json()["order_id"]
    crowd = SimpleNamespace(hot=[product], plenty=[], all_users=lambda: [user])
    reservation = stack.sql("order-svc", "SELECT reservation_id FROM orders WHERE id = %s", order)[0][0]
    damages = {
        "stock adds up at any moment": ("product-svc", f"UPDATE products SET stock = stock %s WHERE id = '{product}'",
                                        "+ 1", "- 1"),
        "what is ordered is held at any moment": (
            "order-svc", f"UPDATE orders SET reservation_id = %s WHERE id = {order}", f"'{'0' * 32}'", f"'{reservation}'"),
        "one outcome a reservation at any moment": (
            "order-svc", f"UPDATE outcomes SET outcome = %s WHERE reservation_id = '{reservation}'", "'aborted'",
            "'committed'"),
    }  # fmt: skip
    assert set(damages) == set(AT_ANY_MOMENT)
    db = Database(stack.json)
    try:
        for name, (service, text, damage, repair) in damages.items():
            watcher = Watcher(stack.json, crowd)
            watcher.look(db)
            assert watcher.seen == []
            stack.sql(service, text % damage, write=True)
            watcher.look(db)
            stack.sql(service, text % repair, write=True)
            assert name in {seen[1] for seen in watcher.seen}
    finally:
        db.close()
