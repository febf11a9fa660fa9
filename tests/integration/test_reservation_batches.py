"""Reservations that share a transaction: full lanes, two programs on one product, and answers that get lost."""

import concurrent.futures
import contextlib
import secrets
import socket
import threading

import pytest
from product_alone import ProductAlone, until


@pytest.fixture
def own(stack, tmp_path):
    own = ProductAlone(stack, tmp_path)
    yield own
    own.balance()
    own.close()


def new_id():
    return secrets.token_hex(16)


@contextlib.contextmanager
def locked(own, product):
    """The product's row is another's for a while."""
    with own.connect() as db, db.cursor() as cursor:
        cursor.execute(f"USE {own.name}")
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM products WHERE id = %s FOR UPDATE", (product,))
        yield
        db.rollback()


def waiting(own):
    return own.one("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT id, name%%FOR UPDATE'")


def test_a_full_lane_holds_nothing(own):
    svc = own.start(RESERVE_LANES="1", RESERVE_BATCH="2", RESERVE_QUEUE="3")
    svc.create("A", stock=100)
    ids = [new_id() for _ in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        with locked(own, "A"):
            calls = [pool.submit(svc.reserve, [("A", 1)], ids[0])]
            until(lambda: waiting(own) == 1, 5)
            calls += [pool.submit(svc.reserve, [("A", 1)], one) for one in ids[1:]]
            until(lambda: sum(call.done() for call in calls) == 8, 5)
        answers = [call.result() for call in calls]
    refused = [one for one, answer in zip(ids, answers, strict=True) if answer.status_code == 503]
    assert len(refused) == 8 and [a.status_code for a in answers].count(200) == 4
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["code"] == "database_busy" and int(answer.headers["Retry-After"]) >= 1
    assert all(own.state(one) is None for one in refused) and svc.stock_of("A") == 96
    for one in refused:
        assert svc.reserve([("A", 1)], one).status_code == 200
    assert svc.stock_of("A") == 88


def test_who_waits_shares_a_transaction(own):
    """One batch with every outcome; the neighbours of the refused get their stock."""
    svc = own.start(RESERVE_LANES="1")
    svc.create("A", stock=20)
    svc.create("B", stock=1)
    old, gone = new_id(), new_id()
    assert svc.reserve([("A", 1)], old).status_code == 200
    assert svc.release(gone).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        with locked(own, "A"):
            first = pool.submit(svc.reserve, [("A", 1)])
            until(lambda: waiting(own) == 1, 5)
            before = svc.process.metric("shop_batch_seconds_count")
            fits = [pool.submit(svc.reserve, [("A", 1), ("B", 1)] if n == 0 else [("A", 1)]) for n in range(10)]
            odd = {
                409: [pool.submit(svc.reserve, [("A", 1000)]), pool.submit(svc.reserve, [("A", 1)], gone)],
                404: [pool.submit(svc.reserve, [("A", 1), ("none", 1)])],
                422: [pool.submit(svc.reserve, [("A", 2)], old)],
                200: [pool.submit(svc.reserve, [("A", 1)], old)],
            }
            until(lambda: svc.process.metric("shop_batch_queued") == 15, 5)
        assert [call.result().status_code for call in [first, *fits]] == [200] * 11
    for status, calls in odd.items():
        assert {call.result().status_code for call in calls} == {status}
    assert svc.process.metric("shop_batch_seconds_count") - before == 2, "the first alone, then all the others"
    assert svc.stock_of("A") == 8 and svc.stock_of("B") == 0
    assert own.sql("SELECT COUNT(*) FROM reservations") == ((13,),)


def test_two_programs_and_a_hot_product(own):
    both = [own.start(), own.start()]
    both[0].create("HOT", stock=150)
    ids = [new_id() for _ in range(200)]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        # Each id is asked for at both: once it counts, whoever was first.
        calls = [[pool.submit(svc.reserve, [("HOT", 1)], one) for svc in both] for one in ids]
        answers = [[call.result().status_code for call in pair] for pair in calls]
    assert {code for pair in answers for code in pair} <= {200, 409}
    assert sum(200 in pair for pair in answers) == 150
    assert own.sql("SELECT stock FROM products WHERE id = 'HOT'") == ((0,),)
    assert own.sql("SELECT COUNT(*) FROM reservations WHERE state = 'pending'") == ((150,),)


class Cutter:
    """Between the service and its database. Armed, it lets one COMMIT through and not its answer."""

    def __init__(self, port):
        self.port, self.armed, self.cut = port, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.port))
                state = {"lost": False}
                for source, sink, check in ((client, server, self.request), (server, client, self.answer)):
                    threading.Thread(target=self.pump, args=(source, sink, check, state), daemon=True).start()

    def request(self, data, state):
        if self.armed and data.endswith(b"\x03COMMIT"):
            self.armed, state["lost"] = False, True
        return True

    def answer(self, _, state):
        self.cut += state["lost"]
        return not state["lost"]

    @staticmethod
    def pump(source, sink, check, state):
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and check(data, state):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def test_the_answer_to_commit_gets_lost(own):
    """What was stored is found, not stored again, and the refused are refused again."""
    cutter = Cutter(own.mysql["port"])
    svc = own.start(DB_PORT=str(cutter.listener.getsockname()[1]), RESERVE_LANES="1")
    svc.create("A", stock=50)
    calls = [(svc.reserve, [("A", 2)], new_id()) for _ in range(20)] + [(svc.reserve, [("A", 60)])]
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        with locked(own, "A"):
            first = pool.submit(svc.reserve, [("A", 1)])
            until(lambda: waiting(own) == 1, 5)
            rest = [pool.submit(*call) for call in calls]
            until(lambda: svc.process.metric("shop_batch_queued") == len(calls), 5)
            cutter.armed = True
        assert first.result().status_code == 200
        assert [call.result().status_code for call in rest] == [200] * 20 + [409]
    assert cutter.cut == 1, "no COMMIT was cut"
    assert svc.stock_of("A") == 9
    assert own.sql("SELECT COUNT(*) FROM reservations") == ((21,),)
    cutter.listener.close()
