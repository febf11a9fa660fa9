"""The part `processor`: our processor beside the Kafka Streams application, on one broker, in alternating runs."""

import json
import signal
import subprocess
import time

from .engines import ENGINES, OursInStep, sums

USERS, MANY_USERS = 2000, 100_000
EVENTS_A_SECOND_OF_RUN = 250_000  # of BENCH_SECONDS: 2 million with the usual 8
MANY_EVENTS = 4 * MANY_USERS
MORE_EVENTS = 1000  # come while the process is down
RATE = 1000
PAIRS = 5
ENGINE = "engine "  # what the names of its runs begin with
NAME = ENGINE + "{} {}"
WARM_EVENTS = 5000  # before a rate: a JVM that has just started is several times slower
SPAN_S = 600


def _load(ctx, topic, users, *args):
    line = [ctx.programs / "orderevents", "--bootstrap", ctx.broker.bootstrap, "--topic", topic, "--users", users, *args]
    return subprocess.Popen([str(part) for part in line], stdout=subprocess.PIPE, text=True)


def _fill(ctx, topic, users, events, skip=0):
    """Puts events into a topic; returns what orderevents says."""
    with _load(ctx, topic, users, "--events", events, "--span", SPAN_S, "--skip", skip) as load:
        out, _ = load.communicate()
    if load.returncode:
        raise RuntimeError("orderevents failed")
    return json.loads(out)


def _topic(ctx, name):
    return ctx.broker.topic(f"{ctx.broker.prefix}-{name}", "events")


def _check(ctx, engine, load, name):
    """Both must have done the work, or comparing them says nothing."""
    seen, due = sums(engine), (load["orders"], load["cents"])
    text = f"{engine.kind} counted {seen[0]} orders, {seen[1]} cents instead of {due[0]}, {due[1]}"
    ctx.checks.append({"part": NAME.format(engine.kind, name), "checked": 1, "broken": [text] if seen != due else []})


def _pairs(ctx, steps):
    """Five of them in a full run, for they differ by more than others do."""
    ctx.in_turn(steps, PAIRS if ctx.rounds >= 3 else ctx.rounds)


def _catch_up(ctx, kind, topic, load, name):
    with kind(ctx.broker, topic) as engine:
        broker = ctx.broker.cpu_s()

        def run():
            seconds = engine.start().catch_up()
            return {
                "per_s": load["events"] / seconds, "seconds": seconds, "cpu_s": engine.cpu_s(),
                "per_cpu_s": load["events"] / engine.cpu_s(), "peak_mb": engine.peak_mb(),
                "broker_cpu_s": ctx.broker.cpu_s() - broker,
            }  # fmt: skip

        ctx.measure(NAME.format(engine.kind, name), run)
        engine.end()
        _check(ctx, engine, load, name)


def _warm_up(ctx, topic):
    """One of each that does not count: a broker that has just started is several times slower."""
    ctx.say("warming up the broker")
    for kind in ENGINES:
        with kind(ctx.broker, topic) as engine:
            engine.start().catch_up()
            engine.end()


def catch_up(ctx):
    """A backlog, from the start of the process until all of it is committed."""
    events = min(2_000_000, EVENTS_A_SECOND_OF_RUN * ctx.seconds)
    topic = _topic(ctx, "backlog")
    load = _fill(ctx, topic, USERS, events)
    _warm_up(ctx, topic)
    _pairs(ctx, [lambda kind=kind: _catch_up(ctx, kind, topic, load, "catch-up") for kind in ENGINES])
    ctx.broker.drop(topic)


def _again(ctx, engine, how, load, name):
    """Ends it so, lets some events come meanwhile, starts it: seconds until all is committed again."""
    engine.end(how)
    more = _fill(ctx, engine.events, MANY_USERS, MORE_EVENTS, load["skip"])
    load.update(orders=more["orders"], cents=more["cents"], skip=load["skip"] + MORE_EVENTS)
    ctx.measure(NAME.format(engine.kind, name), lambda: {"seconds": engine.start().catch_up(), "cpu_s": engine.cpu_s()})


def _many_users(ctx, kind):
    topic = _topic(ctx, f"many-{kind.kind}")
    load = {"skip": MANY_EVENTS, **_fill(ctx, topic, MANY_USERS, MANY_EVENTS)}
    with kind(ctx.broker, topic) as engine:
        ctx.measure(NAME.format(engine.kind, "many users"), lambda: {
            "seconds": engine.start().catch_up(), "peak_mb": engine.peak_mb(), "cpu_s": engine.cpu_s(),
        })  # fmt: skip
        _again(ctx, engine, signal.SIGTERM, load, "restart")
        _again(ctx, engine, signal.SIGKILL, load, "restart after kill -9")
        engine.end()
        _check(ctx, engine, load, "many users")
    ctx.broker.drop(topic)


def many_users(ctx):
    """Memory with many users, and how soon a restarted process is up to date."""
    _pairs(ctx, [lambda kind=kind: _many_users(ctx, kind) for kind in ENGINES])


def _at_rate(ctx, topic, used, *args):
    """Events at a rate; what orderevents says, and what `used()` (seconds of CPU by name) rose by, a second."""
    warm, seconds = 2 * ctx.seconds, 2 * ctx.seconds
    with _load(ctx, topic, USERS, "--rate", RATE, "--warm", warm, "--seconds", seconds, *args) as load:
        time.sleep(warm)
        before = used()
        time.sleep(seconds)
        after = used()
        out, _ = load.communicate()
    result = json.loads(out) if load.returncode == 0 else {"unseen": 1}
    if result.get("unseen"):
        raise RuntimeError(f"orderevents: results are missing: {out}")
    return {**result, **{name: (after[name] - before[name]) / seconds for name in before}}


def _steady(ctx, kind):
    topic = _topic(ctx, f"steady-{kind.kind.replace(' ', '-')}")
    with kind(ctx.broker, topic) as engine:
        engine.start()
        _fill(ctx, topic, USERS, WARM_EVENTS)
        engine.catch_up()

        def run():
            used = lambda: {"cpu": engine.cpu_s(), "broker_cpu": ctx.broker.cpu_s()}  # noqa: E731
            result = _at_rate(ctx, topic, used, "--results", engine.results, "--skip", WARM_EVENTS)
            return {**result, "per_s": RATE, "resident_mb": engine.resident_mb(), "peak_mb": engine.peak_mb()}

        result = ctx.measure(NAME.format(engine.kind, "steady"), run)
        engine.end()
        _check(ctx, engine, result, "steady")
    ctx.broker.drop(topic)


def _load_alone(ctx):
    topic = _topic(ctx, "steady-none")
    used = lambda: {"broker_cpu": ctx.broker.cpu_s()}  # noqa: E731
    ctx.measure(NAME.format("none", "steady"), lambda: {"per_s": RATE, **_at_rate(ctx, topic, used)})
    ctx.broker.drop(topic)


def steady(ctx):
    """A constant rate: latency, memory, and what the broker pays."""
    _pairs(ctx, [lambda kind=kind: _steady(ctx, kind) for kind in (OursInStep, *ENGINES)] + [lambda: _load_alone(ctx)])


def run(ctx):
    for step in (catch_up, many_users, steady):
        step(ctx)
