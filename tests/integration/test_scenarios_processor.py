"""Failure scenarios of the processor, numbered as in tests/scenarios.md: what dies, sleeps or gets lost in
the middle of a transaction, and that the totals are exact all the same."""

import contextlib
import json
import signal
import time

import kafka_proxy as kp
import pytest
from alone import binary
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions
from kafka_raw import delete_records
from processor_alone import RARELY, Load, Model, Reader, bare_model, partition_of, versions_go_back
from shop_stack import until
from test_processor import order


def counted(alone, model, processor=None):
    """A processor that has counted something before it comes to the fault; ends if it is not given."""
    one = processor or alone.start()
    alone.send_bare(*model.events(200))
    alone.exact(model)
    if not processor:
        assert one.stop() == 0


def through(proxy):
    return {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{proxy.port}"}


# ---- 1 to 3: killed inside a transaction ----


def killed_inside(alone, model, point):
    """Killed while it waits at `point`, when what it wrote is at the broker; the number of results before."""
    counted(alone, model)
    before = len(alone.history())
    dead = alone.start(failpoints=f"{point}:1:delay:20000")
    alone.send_bare(*model.events(200))
    until(alone.undecided, 20, "results of an open transaction")
    dead.kill()
    assert len(alone.history()) == before
    return before


@pytest.mark.parametrize("number, point", [(1, "processor_produced"), (2, "processor_offsets_sent")])
def test_s01_s02_killed_before_commit(alone, number, point):
    model = bare_model(point)
    before = killed_inside(alone, model, point)
    began = time.monotonic()
    heir = alone.start()
    alone.exact(model)
    # At once, by its slot, and not only when the transaction's time has passed.
    assert time.monotonic() - began < 45 and alone.undecided() == []
    assert heir.metric("events_total") == 200 and len(alone.history()) > before


def test_s03_killed_after_commit(alone):
    model = bare_model("s03")
    counted(alone, model)
    dead = alone.start(wait=False, failpoints="processor_committed:1:kill")
    alone.send_bare(*model.events(200))
    dead.killed()
    # What the dead one committed is not looked at again.
    done = events_in(alone.state())
    assert 200 < done <= 400
    heir = alone.start()
    alone.exact(model)
    assert heir.metric("events_total") == 400 - done


def events_in(state):
    return sum(v["orders"] + v["cancelled"] for k, v in state.items() if k.startswith("w:"))


# ---- 4, 5: answers get lost ----


def test_s04_commit_answer_lost(alone, proxy):
    model = bare_model("s04")
    processor = alone.start(**through(proxy))
    counted(alone, model, processor)
    proxy.eat(kp.END_TXN, 2)
    alone.send_bare(*model.events(200))
    alone.exact(model)
    until(lambda: proxy.done("eat", kp.END_TXN) == 2)
    assert processor.metric("aborts_total") == processor.metric("restarts_total") == 0
    assert processor.metric("events_total") == 400
    assert processor.stop() == 0


@pytest.mark.parametrize("fault", ["eat", "drop"])
def test_s05_answers_lost_inside_a_transaction(alone, proxy, fault):
    model = bare_model(f"s05-{fault}")
    processor = alone.start(**through(proxy))
    counted(alone, model, processor)
    for api in (kp.PRODUCE, kp.ADD_PARTITIONS_TO_TXN, kp.ADD_OFFSETS_TO_TXN, kp.TXN_OFFSET_COMMIT):
        getattr(proxy, fault)(api, 2)
        alone.send_bare(*model.events(200))
        # Each lost answer may be waited for until socket.timeout.ms, 10 s, one after the other.
        until(lambda api=api: proxy.done(fault, api) == 2, 60, f"{fault} {api}")
        alone.exact(model)
    assert processor.stop() == 0


# ---- 7, 10: sleepers ----


def test_s07_sleeper_that_had_sent_its_offsets(alone):
    """Nobody goes on before it is decided what becomes of its transaction; here it wakes up and commits."""
    sleeper = alone.start(0, failpoints="processor_offsets_sent:1:stop")
    alone.send(*[order(1, number, seq=number) for number in range(1, 6)])
    until(sleeper.stopped)
    heir = alone.start(1)
    until(lambda: "_ASSIGN_PARTITIONS" in heir.text(), 30, "the heir's partitions")
    time.sleep(2)
    assert alone.user(1) is None and heir.metric("partitions") == 0
    sleeper.wake()
    until(lambda: (alone.user(1) or {}).get("orders") == 5, 30, "its transaction")
    sleeper.kill()
    alone.send(*[order(1, number, seq=number) for number in range(6, 11)])
    until(lambda: alone.user(1)["orders"] == 10, 40)
    assert versions_go_back(alone.history()) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["processor_produced", "processor_offsets_sent"])
def test_s07_sleeper_beyond_its_transaction(alone, point):
    """Kafka has ended its transaction and the heir has counted what was in it, and more: it commits nothing of
    what it held when it wakes up, and counts on from what the heir committed."""
    model = bare_model(f"s07-{point}")
    alone.send_bare(*model.events(200))
    sleeper = alone.start(0, failpoints=f"{point}:1:delay:3000")
    until(lambda: point in sleeper.text(), 30, "its transaction")
    time.sleep(1)  # it reaches the broker
    sleeper.child.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    undecided = until(alone.undecided)
    heir = alone.start(1)
    alone.exact(model, 100)
    # Not by the end of its session after 10 s: the heir had to wait for the end of the transaction.
    assert time.monotonic() - began > 50 and undecided and alone.undecided() == []
    alone.send_bare(*model.events(200))
    alone.exact(model)
    time.sleep(max(0, began + 70 - time.monotonic()))
    sleeper.wake()
    until(lambda: sleeper.metric("restarts_total") == 1, 30, "its being fenced")
    assert "fenced" in sleeper.text().lower() and sleeper.metric("commits_total") == 0
    until(lambda: sleeper.metric("partitions") == heir.metric("partitions") == 2, 40, "its coming back into the group")
    alone.send_bare(*model.events(200))
    alone.exact(model)
    assert sleeper.metric("commits_total") > 0 and heir.metric("aborts_total") == 0
    assert [one.stop() for one in (sleeper, heir)] == [0, 0]


def test_s10_assignment_lost(alone, proxy):
    """Cut off for longer than the group waits: another counts on, and what it held itself is worth nothing."""
    model = bare_model("s10")
    cut_off = alone.start(0, **RARELY, **through(proxy))
    counted(alone, model, cut_off)
    with Load(alone, model):
        proxy.freeze()
        heir = alone.start(1, **RARELY)
        until(lambda: heir.metric("partitions") == 4, 40, "the heir's partitions")
        proxy.thaw()
        until(lambda: cut_off.metric("partitions") == 2, 40, "its coming back")
    assert '"lost":true' in cut_off.text().replace('": ', '":')
    alone.exact(model)
    assert alone.forgives_nothing()
    assert [one.stop() for one in (cut_off, heir)] == [0, 0]


@pytest.mark.slow
def test_s10_stuck_for_too_long(alone):
    """An engine that does not turn is ended by the process itself, long before the group would do it."""
    model = bare_model("stuck")
    counted(alone, model)
    stuck = alone.start(failpoints="processor_before_produce:1:delay:90000")
    alone.send_bare(*model.events(200))
    until(lambda: stuck.child.poll() is not None, 60, "its end")
    assert stuck.child.returncode == -signal.SIGABRT
    assert "the engine is stuck" in stuck.text()
    alone.start()
    alone.exact(model)


# ---- 12: nobody answers ----


@pytest.mark.slow
def test_s12_broker_that_hangs(alone, proxy):
    """For longer than the watchdog waits, inside a transaction: every call comes back in time."""
    model = bare_model("s12")
    processor = alone.start(**RARELY, **through(proxy))
    counted(alone, model, processor)
    with Load(alone, model):
        proxy.freeze()
        time.sleep(45)
        assert processor.child.poll() is None and not processor.ready()
        proxy.thaw()
    alone.exact(model, 60)
    assert processor.stop() == 0 and alone.forgives_nothing()


# ---- 9: scaling ----


def test_s09_instances_come_and_go(alone):
    model = bare_model("s09")
    running = [alone.start(0, **RARELY)]
    with Load(alone, model, 0.001):
        for slot in (1, 2, 3):
            running.append(alone.start(slot, **RARELY))
            time.sleep(2)
        for _ in range(2):
            assert running.pop().stop() == 0
            time.sleep(1)
    alone.exact(model, 60)
    assert alone.forgives_nothing()
    until(lambda: sum(one.metric("lag") for one in running) == 0)
    until(lambda: sum(one.metric("partitions") for one in running) == 4, 30)


def test_s09_killed_while_partitions_move(alone):
    """What it was given is kept for its slot; whoever gets it counts on."""
    model = bare_model("s09-killed")
    first = alone.start(0, **RARELY)
    counted(alone, model, first)
    with Load(alone, model):
        dead = alone.start(1, wait=False, failpoints="processor_rebalancing:1:kill")
        dead.killed(30)
        heir = alone.start(1, **RARELY)
        until(lambda: heir.metric("partitions") == 2, 30, "the heir's partitions")
    alone.exact(model)
    assert alone.forgives_nothing()


def test_s09_killed_when_partitions_are_committed_and_not_yet_given_up(alone):
    """The revocation has committed; who asked for the partitions, or the slot's next process, counts on."""
    model = bare_model("s09-revoked")
    dead = alone.start(0, failpoints="processor_revoked:1:kill", **RARELY)
    counted(alone, model, dead)
    with Load(alone, model):
        other = alone.start(1, wait=False, **RARELY)
        dead.killed(30)
        heir = alone.start(0, **RARELY)
        until(lambda: other.metric("partitions") + heir.metric("partitions") == 4, 40, "all partitions")
    alone.exact(model)
    assert alone.forgives_nothing()


# ---- 13, 14: errors of the broker ----

MOVES = [
    (kp.ADD_PARTITIONS_TO_TXN, kp.CONCURRENT_TRANSACTIONS),
    (kp.ADD_OFFSETS_TO_TXN, kp.NOT_COORDINATOR),
    (kp.ADD_OFFSETS_TO_TXN, kp.COORDINATOR_LOADING),
    (kp.ADD_OFFSETS_TO_TXN, kp.CONCURRENT_TRANSACTIONS),
    (kp.TXN_OFFSET_COMMIT, kp.NOT_COORDINATOR),
    (kp.TXN_OFFSET_COMMIT, kp.COORDINATOR_LOADING),
    (kp.END_TXN, kp.NOT_COORDINATOR),
    (kp.END_TXN, kp.COORDINATOR_LOADING),
    (kp.END_TXN, kp.CONCURRENT_TRANSACTIONS),
]


def test_s13_coordinator_moves(alone, proxy):
    """Tried again until it works: no transaction is given up."""
    model = bare_model("s13")
    processor = alone.start(**through(proxy))
    counted(alone, model, processor)
    for api, error in MOVES:
        before = proxy.done("fail", api)
        proxy.fail(api, error, 2)
        alone.send_bare(*model.events(60))
        until(lambda api=api, before=before: proxy.done("fail", api) == before + 2, 20, f"{api} {error}")
        alone.exact(model)
    assert processor.metric("aborts_total") == processor.metric("restarts_total") == 0
    assert processor.stop() == 0


@pytest.mark.parametrize("api, error", [(kp.TXN_OFFSET_COMMIT, kp.GROUP_DENIED), (kp.PRODUCE, kp.TOPIC_DENIED)])
def test_s14_error_that_ends_the_transaction(alone, proxy, api, error):
    """Rolled back, read again, counted once; nobody had to take the partitions away."""
    model = bare_model(f"s14-{api}")
    processor = alone.start(**through(proxy))
    counted(alone, model, processor)
    rebalances = processor.metric("rebalances_total")
    proxy.fail(api, error, 3)
    alone.send_bare(*model.events(200))
    until(lambda: proxy.done("fail", api) == 3)
    alone.exact(model)
    assert processor.metric("aborts_total") >= 1
    assert processor.metric("rebalances_total") == rebalances
    assert processor.stop() == 0


def test_s14_holds_nothing_while_it_begins_again(alone, proxy):
    """Its numbers say so, or the alarm about partitions that nobody counts would stay silent."""
    model = bare_model("s14-again")
    processor = alone.start(**through(proxy))
    counted(alone, model, processor)
    until(lambda: processor.metric("partitions") == 4 and processor.metric("users") == model.users)
    proxy.fail(kp.ADD_OFFSETS_TO_TXN, kp.ID_DENIED)
    proxy.hang(kp.INIT_PRODUCER_ID)  # what the new clients ask for before any partition
    alone.send_bare(*model.events(200))
    until(lambda: proxy.done("hang", kp.INIT_PRODUCER_ID) == 1, 30, "its beginning again")
    assert processor.metric("restarts_total") == 1
    assert [processor.metric(name) for name in ("partitions", "lag", "users", "windows")] == [0, 0, 0, 0]
    proxy.thaw()
    alone.exact(model, 60)
    assert processor.stop() == 0


# ---- 16 to 20: events ----


def test_s16_repeated_after_many_others(alone):
    """By its number for ever; without a number only while its id is among the last 16."""
    processor = alone.start()
    numbered = [order(1, n, seq=n) for n in range(1, 101)]
    bare = [order(2, n) for n in range(1, 18)]
    alone.send(*numbered, *bare)
    alone.send(numbered[0], bare[1], bare[0])
    until(lambda: (alone.user(1) or {}).get("orders") == 100 and (alone.user(2) or {}).get("orders") == 18)
    until(lambda: processor.metric("duplicates_total") == 2)


def test_s17_dead_letters_are_part_of_the_transaction(alone):
    """However often it is aborted, each appears once, and so does what came with it."""
    model = bare_model("s17")
    processor = alone.start(failpoints="processor_produced:0.5:error,processor_offsets_sent:0.5:error")
    sent = 0
    while processor.metric("aborts_total") < 3 or sent < 5:
        alone.send_raw(b"7", b'{"order_id": %d' % sent)
        alone.send_bare(*model.events(60))
        sent += 1
    alone.exact(model)
    until(lambda: len(alone.dead()) == sent)
    assert len({letter["value"] for letter in alone.dead()}) == sent


@pytest.mark.parametrize("when", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "+300000-01-01T00:00:00Z"])
def test_s20_clocks_that_are_wrong(alone, when):
    """Whatever becomes of such an event, those after it are not late for that."""
    processor = alone.start()
    alone.send({**order(1, 1, seq=1), "timestamp": when}, order(1, 2, seq=2))
    until(lambda: (alone.user(1) or {}).get("seq") == 2 or alone.dead())
    alone.send(order(1, 3, seq=3))
    until(lambda: (alone.user(1) or {"orders": 0})["orders"] + len(alone.dead()) == 3)
    windows = [v for k, v in alone.state().items() if k.startswith("w:")]
    assert all(0 <= time.time() - w["start"] < 86400 for w in windows)
    assert processor.metric("late_total") == 0
    assert alone.user(1)["orders"] + len(alone.dead()) == 3


# ---- 22, 23: topics that change ----


@pytest.mark.parametrize("pause", [None, 0.002], ids=["idle", "busy"])
def test_s22_more_partitions_while_it_runs(alone, pause):
    """Users would be split: it ends, and does not start again before that is put right."""
    processor = alone.start()
    alone.send(order(1, 1, seq=1))
    until(lambda: alone.user(1))
    with Load(alone, bare_model("s22"), pause) if pause else contextlib.nullcontext():
        for future in alone.kafka.create_partitions([NewPartitions(alone.orders, 8)]).values():
            future.result(20)
        # It asks every 5 s; by itself the library would learn of it within 30.
        until(lambda: processor.child.poll() is not None, 20, "its end")
    assert processor.child.returncode == 1 and "partitions" in processor.text()
    again = alone.start(wait=False)
    until(lambda: again.child.poll() is not None)
    assert again.child.returncode == 1 and "must be the same number" in again.text()


def test_s23_retention_took_what_was_not_counted(alone):
    model = bare_model("s23")
    counted(alone, model)
    alone.send_bare(*model.events(400))
    for partition in range(4):
        delete_records(alone.bootstrap, alone.orders, partition, -1)
    before = len(alone.history())
    process = alone.start(wait=False)
    until(lambda: process.child.poll() is not None)
    assert process.child.returncode == 1 and "deleted by retention" in process.text()
    assert len(alone.history()) == before


# ---- 24: restore ----


def test_s24_a_request_of_a_reader_gets_lost(alone, proxy):
    """After 10 s it asks again; by itself the library would wait for a minute."""
    model = bare_model("s24")
    counted(alone, model)
    proxy.delay(kp.FETCH, 60)
    processor = alone.start(wait=False, **through(proxy))
    until(lambda: proxy.faults[kp.FETCH].left == 0, 20)
    until(processor.ready, 40, "readiness after another request")
    alone.send_bare(*model.events(50))
    alone.exact(model)


def test_s24_a_client_that_knows_too_little_is_replaced(alone, proxy):
    """Once it has taken partitions for unknown it never asks for them again."""
    model = bare_model("s24-unknown")
    counted(alone, model)
    processor = alone.start(wait=False, failpoints="processor_rebalancing:1:delay:3000", **through(proxy))
    until(lambda: "processor_rebalancing" in processor.text(), 30)
    proxy.hide(alone.results)  # from the next who asks: the restore
    until(lambda: proxy.hidden[alone.results.encode()] == 0, 20)
    until(processor.ready, 20, "readiness with another client")
    alone.send_bare(*model.events(50))
    alone.exact(model)


def test_s24_the_leader_hangs_when_asked_for_the_ends(alone, proxy):
    """Connections are taken but never answered: each question ends in its time, and the engine is not stuck."""
    model = bare_model("s24-ends")
    counted(alone, model)
    proxy.hang(kp.LIST_OFFSETS)
    processor = alone.start(wait=False, **through(proxy))
    until(lambda: proxy.done("hang", kp.LIST_OFFSETS) == 1, 30, "its question")
    # Told between two questions; by itself the library would stay in the first one.
    until(lambda: '"ends of the results"' in processor.text(), 25, "its going on to ask")
    proxy.thaw()
    alone.send_bare(*model.events(50))
    alone.exact(model, 60)
    assert processor.stop() == 0


def open_transaction(alone, key, bootstrap=None):
    """Somebody's transaction on the partition of `key`, for two minutes or until it is ended."""
    other = Producer({
        "bootstrap.servers": bootstrap or alone.bootstrap, "transactional.id": f"{alone.name}-other",
        "transaction.timeout.ms": 120000,
    })  # fmt: skip
    other.init_transactions(20)
    other.begin_transaction()
    partition, last = next((p, v) for p, k, v in reversed(alone.history()) if k == key)
    wrong = {**last, "v": last["v"] + 1, "orders": 4711}
    other.produce(alone.results, key=key, value=json.dumps(wrong), partition=partition)
    assert other.flush(20) == 0
    until(lambda: partition in alone.undecided())
    return other


def test_s24_restore_waits_for_an_undecided_transaction(alone):
    model = bare_model("s24")
    counted(alone, model)
    other = open_transaction(alone, "u:1")
    processor = alone.start()
    alone.send_bare(*model.events(200))
    until(lambda: "rebalance" in processor.text())
    time.sleep(2)
    assert processor.metric("partitions") == 0
    other.abort_transaction(20)
    alone.exact(model)


def test_s24_killed_while_restoring(alone):
    model = Model("s24-killed", users=3000)
    processor = alone.start()
    alone.send(*model.events(6000))
    alone.exact(model, 60)
    assert processor.stop() == 0
    alone.send(*model.events(500))
    for _ in range(3):
        dead = alone.start(wait=False, failpoints="processor_restoring:0.002:kill")
        dead.killed(30)
    alone.start()
    alone.exact(model, 60)


MANY = 1_000_000
TIMES_A_READER = 10  # which only counts them; 5 were measured with a debug build


def write_users(alone, first, count):
    """States of users with orders 1 to 1000, as if they had been counted."""
    last = json.dumps(until(lambda: alone.user(first)))
    head, tail = last.replace('"orders": 1,', '"orders": %d,').split(f'"user_id": {first},')
    writer = Producer({"bootstrap.servers": alone.bootstrap, "linger.ms": 20})
    for user in range(first + 1, first + count):
        value = f'{head}"user_id": {user},{tail}' % (1 + user % 1000)
        writer.produce(alone.results, key=f"u:{user}", value=value, partition=partition_of(user))
        if user % 50_000 == 0:
            writer.flush()
    assert writer.flush(60) == 0


@pytest.mark.slow
def test_s24_a_large_state_is_restored_in_time(alone, stack):
    """A million users: within the deadline of a restore, and some times what somebody needs who only reads them."""
    if stack["mode"] in ("asan", "tsan"):
        alone.binary = binary("processor", "debug")  # a sanitizer takes its own time
    processor = alone.start()
    alone.send(*[order(user, user) for user in range(1, 11)])
    until(lambda: processor.metric("users") == 10)
    until(lambda: sum(key.startswith("u:") for key in alone.state()) == 10)
    assert processor.stop() == 0
    write_users(alone, 10, MANY)
    reader, began, records = Reader(alone.bootstrap, alone.results, alone.partitions), time.monotonic(), 0
    while reader.behind():
        records += len(reader.consumer.consume(10_000, 0.2))
    plain = time.monotonic() - began
    processor, began = alone.start(), time.monotonic()
    until(lambda: processor.metric("partitions") == 4, 120, "the end of the restore")
    took = time.monotonic() - began
    print(f"{records} records were read in {plain:.1f} s and restored in {took:.1f} s")
    assert records >= MANY and processor.metric("users") == MANY + 9
    assert processor.metric("restore_timeouts_total") == 0 and took < TIMES_A_READER * plain
    some = range(20, MANY, MANY // 100)
    alone.send(*[order(user, MANY + user) for user in some])
    wanted = {f"u:{user}": 2 + user % 1000 for user in some}

    def found():
        users = [message for message in reader.read() if message.key().startswith(b"u:")]
        return {message.key().decode(): json.loads(message.value())["orders"] for message in users}

    until(lambda: len(found()) == len(wanted), 20, "results of those who ordered again")
    assert found() == wanted
    reader.consumer.close()
    assert processor.stop() == 0


def test_s24_transaction_that_nobody_ends(alone):
    """The restore gives up, says so, and begins again; when the transaction is ended by hand, all is exact."""
    model = bare_model("s24-hangs")
    counted(alone, model)
    other = open_transaction(alone, "u:1")
    processor = alone.start(RESTORE_TIMEOUT_MS=2000)
    alone.send_bare(*model.events(200))
    until(lambda: processor.metric("restoring") == 1, 20, "one partition that waits")
    seen = []

    def alarmed():
        seen.append(processor.metric("restoring"))
        return processor.metric("restore_timeouts_total") >= 2

    until(alarmed, 40, "the alarm")
    assert min(seen) >= 1, "it stays between two tries"
    partition = alone.undecided()[0]
    assert f"{alone.results} [{partition}]; if a transaction hangs there" in processor.text()
    assert events_in(alone.state()) == 200
    other.abort_transaction(20)
    alone.exact(model, 40)
    assert processor.metric("restoring") == 0
    assert processor.stop() == 0
