"""The processor on a real broker: exact totals whatever happens to it."""

import itertools
import json
import random
import time

import pytest
from confluent_kafka import Producer
from processor_alone import RARELY, Alone, Model, Process, bare_model, rfc3339, versions_go_back
from shop_stack import until

MINUTE = 60


def order(user_id, order_id, price=10.0, when=None, **more):
    return {
        "order_id": order_id, "user_id": user_id, "price": price, "quantity": 1,
        "timestamp": rfc3339(when or time.time()), **more,
    }  # fmt: skip


def test_counts_orders_and_cancellations(alone):
    processor = alone.start()
    model = Model(1)
    alone.send(*model.events(500))
    alone.exact(model)
    assert processor.metric("events_total") == 500
    assert processor.metric("aborts_total") == 0
    until(lambda: processor.metric("lag") == 0)
    assert processor.stop() == 0


def test_result_follows_within_a_second(alone):
    alone.start()
    alone.send(order(1, 1, seq=1))
    until(lambda: alone.user(1))
    began = time.monotonic()
    alone.send(order(1, 2, seq=2))
    until(lambda: alone.user(1)["orders"] == 2)
    assert time.monotonic() - began < 1


def test_restart_restores_the_state(alone):
    model = Model(2)
    processor = alone.start()
    alone.send(*model.events(300))
    alone.exact(model)
    assert processor.stop() == 0
    alone.send(*model.events(300))
    processor = alone.start()
    alone.exact(model)
    assert processor.metric("restores_total") == 4
    assert processor.metric("restored_records_total") > 0
    processor.kill()
    alone.send(*model.events(100))
    alone.start()
    alone.exact(model)


def test_duplicates_count_once(alone):
    model = Model(3)
    processor = alone.start()
    events = model.events(400)
    alone.send(*events, *events[:200])
    alone.exact(model)
    until(lambda: processor.metric("duplicates_total") == 200)
    processor.stop()
    processor = alone.start()
    alone.send(*events)
    until(lambda: processor.metric("duplicates_total") == 400)
    alone.exact(model)


def test_reordered_events_count(alone):
    model = Model(4, users=5)
    alone.start()
    events = model.events(300)
    shuffle = random.Random(4)
    # At most 40 places apart, so at most 40 numbers of any user.
    events = [e for _, e in sorted((i + shuffle.random() * 40, e) for i, e in enumerate(events))]
    alone.send(*events)
    alone.exact(model)


def test_five_fields_are_enough(alone):
    alone.start()
    events = [order(7, n) for n in range(1, 9)]
    alone.send(*events, *events)
    until(lambda: alone.user(7) and alone.user(7)["orders"] == 8)
    alone.send(order(7, 9))
    until(lambda: alone.user(7)["orders"] == 9)
    assert alone.user(7)["recent"] == list(range(1, 10))


POISON = [
    (b"7", b"{", "bad_json"),
    (b"7", b"[]", "bad_json"),
    (b"7", b"\xff\xfe{}", "bad_utf8"),
    (b"7", b"{}", "missing_field"),
    (b"7", None, "no_value"),
    (b"7", b"", "no_value"),
    (b"7", b'{"order_id":"1","user_id":7}', "bad_field"),
    (b"7", b'{"order_id":1,"user_id":7,"price":-1,"quantity":1}', "bad_amount"),
    (b"7", b'{"order_id":1,"user_id":7,"price":1e300,"quantity":1}', "bad_amount"),
    (b"7", b'{"order_id":1,"user_id":7,"price":1,"quantity":1,"timestamp":"1960-01-01T00:00:00Z"}', "bad_time"),
    (b"8", b'{"order_id":1,"user_id":7,"price":1,"quantity":1,"timestamp":"2025-01-01T00:00:00Z"}', "key_mismatch"),
    (None, b'{"order_id":1,"user_id":7,"price":1,"quantity":1,"timestamp":"2025-01-01T00:00:00Z"}', "key_mismatch"),
    (b"7", b"[" * 100000, "bad_json"),
    (b"\xff\xfe\x00\"\n", b"{", "bad_json"),
    ("\u00e9".encode() * 5000, b"{", "bad_json"),
    (b"7", b"x" * 900000, "bad_json"),
]


def test_poison_goes_to_the_dead_letters(alone):
    processor = alone.start()
    for key, value, _ in POISON:
        alone.send_raw(key, value)
    alone.send(order(7, 1, seq=1), order(8, 1, seq=1))
    until(lambda: alone.user(7) and alone.user(8))
    letters = until(lambda: len(alone.dead()) == len(POISON) and alone.dead())
    assert sorted(x["reason"] for x in letters) == sorted(reason for _, _, reason in POISON)
    for letter in letters:
        assert letter["topic"] == alone.orders and letter["detail"] and letter["at"]
        assert len(letter.get("value", b"")) <= 65536
    assert {x.get("value") for x in letters} >= {b"{", b"\xff\xfe{}", b"x" * 65536}
    assert processor.metric("dlq_total") == len(POISON)
    # Dealt with once: a restart does not read them again.
    processor.stop()
    alone.start()
    alone.send(order(7, 2, seq=2))
    until(lambda: alone.user(7)["orders"] == 2)
    assert len(alone.dead()) == len(POISON)


def test_wrong_partition_goes_to_the_dead_letters(alone):
    alone.start()
    alone.send(order(7, 1, seq=1))
    home = until(lambda: [p for p, key, _ in alone.history() if key == "u:7"])[0]
    alone.send_raw(b"7", str(order(7, 2, seq=2)).replace("'", '"').encode(), partition=(home + 1) % 4)
    alone.producer.flush()
    letter = until(alone.dead)[0]
    assert letter["reason"] == "wrong_partition" and letter["key"] == "7"
    assert alone.user(7)["orders"] == 1


def test_missing_numbers_are_reported(alone):
    processor = alone.start()
    alone.send(*[order(7, n, seq=n) for n in range(1, 90) if n not in (5, 8, 9)])
    letter = until(alone.dead)[0]
    until(lambda: alone.user(7)["orders"] == 86)
    details = " ".join(x["detail"] for x in alone.dead())
    assert letter["reason"] == "missing_events" and letter["value_b64"] is None
    for number in ("5", "8", "9"):
        assert f": {number}" in details
    assert processor.metric("missing_events_total") == 3
    alone.send(order(7, 5000000, seq=5000000))
    until(lambda: "seq_jump" in [x["reason"] for x in alone.dead()])
    alone.send(order(7, 90, seq=90))
    until(lambda: alone.user(7)["orders"] == 87)


def test_unknown_types_are_ignored(alone):
    processor = alone.start()
    alone.send(order(7, 1, seq=1), order(7, 1, seq=2, type="order.praised"), order(7, 2, seq=3))
    until(lambda: alone.user(7) and alone.user(7)["orders"] == 2)
    assert alone.user(7)["seq"] == 3 and alone.dead() == []
    assert processor.metric("events_total", 'type="other"') == 1


def window(alone, start):
    found = [v for k, v in alone.state().items() if k.startswith(f"w:{start}:")]
    return found[0] if found else None


def test_windows_become_final_and_are_corrected(alone):
    alone.start()
    start = int(time.time()) // MINUTE * MINUTE - 10 * MINUTE
    alone.send(order(7, 1, when=start + 1, seq=1))
    assert not until(lambda: window(alone, start))["final"]
    alone.send(order(7, 2, when=start + MINUTE + 10, seq=2))
    until(lambda: window(alone, start)["final"])
    before = window(alone, start)["v"]
    alone.send(order(7, 3, when=start + 2, seq=3))
    until(lambda: window(alone, start)["orders"] == 2)
    assert window(alone, start)["final"] and window(alone, start)["v"] > before
    # Without further input the clock ends the rest.
    until(lambda: window(alone, start + MINUTE)["final"], 15)


def test_old_windows_are_folded_and_late_orders_kept(alone):
    processor = alone.start()
    start = int(time.time()) // MINUTE * MINUTE - 26 * 3600
    alone.send(order(7, 1, when=start, seq=1))
    until(lambda: window(alone, start))
    alone.send(order(7, 2, seq=2))
    gone = f"w:{start}:"
    until(lambda: any(k.startswith(gone) and v is None for _, k, v in alone.history()))
    alone.send(order(7, 3, price=7.5, when=start, seq=3))
    until(lambda: alone.user(7)["orders"] == 3)
    totals = next(v for k, v in alone.state().items() if k.startswith("p:") and v["folded_orders"])
    assert (totals["folded_orders"], totals["folded_revenue"]) == (1, 10.0)
    assert (totals["late_orders"], totals["late_revenue"]) == (1, 7.5)
    assert processor.metric("late_total") == 1


def test_clock_far_ahead_is_harmless(alone):
    alone.start()
    alone.send(order(7, 1, when=time.time() + 86400, seq=1), order(7, 2, seq=2))
    until(lambda: alone.user(7) and alone.user(7)["orders"] == 2)
    windows = [v for k, v in alone.state().items() if k.startswith("w:")]
    assert sum(w["orders"] for w in windows) == 2
    assert all(w["start"] <= time.time() for w in windows)
    totals = next(v for k, v in alone.state().items() if k.startswith("p:"))
    assert totals["watermark"] <= time.time() * 1000


def test_idle_processor_holds_no_transaction(alone):
    processor = alone.start()
    alone.send(order(7, 1, when=time.time() - 600, seq=1))
    until(lambda: alone.user(7))
    until(lambda: all(v["final"] for k, v in alone.state().items() if k.startswith("w:")), 15)
    commits = processor.metric("commits_total")
    time.sleep(1)
    assert processor.metric("commits_total") == commits
    assert alone.undecided() == []


# ---- faults ----


LONG_S = 12  # longer than the group waits for a member


class Supervisor:
    """Starts again what dies, lets go on what was stopped."""

    def __init__(self, alone, slots, failpoints, **settings):
        self.alone, self.failpoints, self.settings = alone, failpoints, settings
        self.running = {slot: self._start(slot) for slot in range(slots)}
        self.deaths = self.woken = 0
        self.asleep = {}
        self.naps = itertools.cycle([LONG_S, 0.3, 1])

    def _start(self, slot):
        return Process(self.alone, slot, wait=False, failpoints=self.failpoints, **self.settings)

    def step(self):
        for slot, process in self.running.items():
            if process.child.poll() is not None:
                process.killed()
                self.deaths += 1
                self.running[slot] = self._start(slot)
            elif process.stopped() and slot not in self.asleep:
                nap = next(self.naps)
                self.asleep[slot] = (time.monotonic() + nap, nap)
            elif slot in self.asleep and time.monotonic() > self.asleep[slot][0]:
                self.woken += self.asleep.pop(slot)[1] == LONG_S
                process.wake()

    def end(self):
        """Calm: no failpoints from here on."""
        self.failpoints = ""
        for slot, process in self.running.items():
            if process.child.poll() is None:
                process.kill()
            self.running[slot] = self._start(slot)


FAULTS = [
    ("processor_produced:0.08:kill", 1),
    ("processor_offsets_sent:0.08:kill", 1),
    ("processor_committed:0.08:kill", 1),
    ("processor_produced:0.1:error,processor_offsets_sent:0.1:error", 1),
    ("processor_offsets_sent:0.02:kill,processor_produced:0.05:error,processor_restoring:0.0005:kill", 2),
]


@pytest.mark.parametrize(("failpoints", "slots"), FAULTS)
def test_exact_under_faults(alone, failpoints, slots):
    model = bare_model(failpoints)
    supervisor = Supervisor(alone, slots, failpoints)
    began = time.monotonic()
    wanted = 2 if "kill" in failpoints else 0
    while time.monotonic() - began < (5 if supervisor.deaths >= wanted else 40):
        alone.send_bare(*model.events(80))
        supervisor.step()
        time.sleep(0.03)
    supervisor.end()
    alone.exact(model, 60)
    assert supervisor.deaths >= wanted


def test_exact_when_put_to_sleep(alone):
    """Zombies: stopped inside a transaction, for longer than the group waits."""
    model = bare_model("sleep")
    supervisor = Supervisor(alone, 2, "processor_produced:0.1:stop,processor_offsets_sent:0.1:stop", **RARELY)
    began = time.monotonic()
    while time.monotonic() - began < (15 if supervisor.woken else 60):
        alone.send_bare(*model.events(20))
        supervisor.step()
        time.sleep(0.03)
    supervisor.end()
    alone.exact(model, 60)
    assert supervisor.woken and alone.forgives_nothing()


def test_a_sleeper_commits_nothing(alone):
    """What it had counted before others took its partitions over is stale when it wakes up."""
    alone.start(0, failpoints="processor_before_produce:1:stop")
    sleeper = alone.started[0]
    alone.send(*[order(1, number, seq=number) for number in range(1, 6)])
    until(sleeper.stopped)
    alone.start(1)
    until(lambda: (alone.user(1) or {}).get("orders") == 5, 30, "the other's taking over")
    alone.send(*[order(1, number, seq=number) for number in range(6, 11)])
    until(lambda: alone.user(1)["orders"] == 10)
    sleeper.wake()
    until(lambda: sleeper.metric("partitions") == 2, 30, "its coming back into the group")
    alone.send(order(1, 11, seq=11))
    until(lambda: alone.user(1)["orders"] == 11)
    assert versions_go_back(alone.history()) == []


def test_slots_share_the_partitions(alone):
    model = bare_model(5)
    first = alone.start(0)
    alone.send_bare(*model.events(200))
    alone.exact(model)
    second = alone.start(1)
    until(lambda: second.metric("partitions") == 2 and first.metric("partitions") == 2, 30)
    alone.send_bare(*model.events(200))
    alone.exact(model)
    assert first.stop() == 0
    alone.send_bare(*model.events(200))
    # Its partitions are kept for it for as long as a restart may take.
    alone.exact(model, 40)


def test_of_two_processes_with_one_slot_one_ends(alone):
    model = bare_model(6)
    twins = [alone.start(0)]
    alone.send_bare(*model.events(200))
    alone.exact(model)
    twins.append(alone.start(0, wait=False))
    # Each begins again a few times before it believes in the other.
    until(lambda: any(twin.child.poll() is not None for twin in twins), 60, "the end of one of them")
    alone.send_bare(*model.events(200))
    alone.exact(model)
    ended = [twin for twin in twins if twin.child.poll() is not None]
    assert len(ended) == 1
    assert ended[0].child.returncode == 1
    assert "PROCESSOR_SLOT=0" in ended[0].text()


def test_refuses_unequal_partition_counts(alone):
    alone.make_topic(alone.results + "-x", 3)
    try:
        process = alone.start(wait=False, RESULTS_TOPIC=alone.results + "-x")
        until(lambda: process.child.poll() is not None)
        assert process.child.returncode == 1
        assert "must be the same number" in process.text()
    finally:
        alone.kafka.delete_topics([alone.results + "-x"])


def test_restore_reads_only_what_was_committed(alone):
    processor = alone.start()
    alone.send(order(7, 1, seq=1))
    before = until(lambda: alone.user(7))
    processor.stop()
    crashed = Producer({"bootstrap.servers": alone.bootstrap, "transactional.id": alone.name})
    crashed.init_transactions(20)
    crashed.begin_transaction()
    partition = next(p for p, k, _ in alone.history() if k == "u:7")
    wrong = {**before, "v": before["v"] + 1, "orders": 99}
    crashed.produce(alone.results, key="u:7", value=json.dumps(wrong), partition=partition)
    crashed.flush(20)
    crashed.abort_transaction(20)
    alone.start()
    alone.send(order(7, 2, seq=2))
    until(lambda: alone.user(7)["orders"] != 1)
    assert alone.user(7)["orders"] == 2


def test_what_a_restore_read_is_no_burden(alone, stack):
    """It reads as fast as records come; what remains of that is what they say."""
    if stack["mode"] in ("asan", "tsan"):
        pytest.skip("a sanitizer keeps what was freed")
    processor = alone.start()
    alone.send(order(7, 1, seq=1))
    last = json.dumps(until(lambda: alone.user(7)))
    before = processor.rss_kb()
    where = next(p for p, k, _ in alone.history() if k == "u:7")
    processor.stop()
    for n in range(200_000):
        alone.producer.produce(alone.results, key="u:7", value=last, partition=where)
        if n % 10_000 == 0:
            alone.producer.flush()
    alone.producer.flush()
    processor = alone.start()
    until(lambda: (processor.metric("restored_records_total") or 0) > 200_000)
    until(lambda: processor.rss_kb() < before + 12_000)


def damage(alone, key, value):
    """Puts a record where the user's state is."""
    partition = next(p for p, k, _ in alone.history() if k == "u:7")
    alone.producer.produce(alone.results, key=key, value=value, partition=partition)
    alone.producer.flush()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("u:7", b"\x00garbage", "u:7"),
        ("u:7", None, "was deleted"),
        ("z:1", b"{}", "unknown kind of key"),
        ("u:7", b'{"v":1,"user_id":7}', "orders is missing"),
    ],
)
def test_refuses_damaged_state(alone, key, value, says):
    processor = alone.start()
    alone.send(order(7, 1, seq=1))
    until(lambda: alone.user(7))
    processor.stop()
    damage(alone, key, value)
    process = alone.start(wait=False)
    until(lambda: process.child.poll() is not None)
    assert process.child.returncode == 1
    assert says in process.text()


def test_refuses_to_start_from_lost_state(alone):
    processor = alone.start()
    alone.send(order(7, 1, seq=1))
    until(lambda: alone.user(7))
    processor.stop()
    alone.make_topic(alone.results + "-new", 4)
    try:
        process = alone.start(wait=False, RESULTS_TOPIC=alone.results + "-new")
        until(lambda: process.child.poll() is not None)
        assert process.child.returncode == 1
        assert "has no state although" in process.text()
    finally:
        alone.kafka.delete_topics([alone.results + "-new"])


def test_waits_for_a_broker_and_says_so(alone):
    process = alone.start(wait=False, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    until(lambda: "waiting for Kafka" in process.text())
    assert not process.ready()
    assert process.stop() == 0


@pytest.mark.slow
def test_broker_away_inside_a_transaction(new_stack, tmp_path):
    own = new_stack(programs=[], seed=False)
    alone = Alone(own, tmp_path)
    try:
        model = bare_model(7)
        processor = alone.start()
        alone.send_bare(*model.events(200))
        alone.exact(model)
        events = model.events(400)
        for event in events[:200]:
            del event["seq"]
            alone.send_raw(str(event["user_id"]).encode(), json.dumps(event).encode())
        alone.producer.poll(0.03)
        own.kill("kafka")
        # Longer than the group waits for a member.
        time.sleep(12)
        own.start("kafka")
        alone.producer.flush(30)
        alone.send_bare(*events[200:])
        alone.exact(model, 60)
        assert processor.stop() == 0
    finally:
        alone.close()
