"""What goes wrong when, made from the seed alone: failpoints first, time second.

Faults come from two decks, which consecutive seeds deal out to the end: so 100 runs meet every failpoint with
every action, and every other fault, many times; what chance decides is the order, the time and the victim.
"""

import random
from dataclasses import dataclass, field

FAILPOINTS = {
    "order-svc": [
        "order_reserved", "order_before_commit", "order_committed", "order_before_reply",
        "relay_before_produce", "relay_produced", "relay_delivered", "relay_before_delete", "relay_deleted",
    ],
    "product-svc": [
        "product_before_commit", "product_reserved", "product_confirm", "product_janitor", "product_janitor_fenced",
    ],
    "processor": [
        "processor_before_produce", "processor_produced", "processor_offsets_sent", "processor_committed",
        "processor_restoring", "processor_rebalancing", "processor_revoked",
    ],
    "notify-svc": ["notify_before_commit", "notify_stored", "notify_sent"],
}  # fmt: skip
# The most that a stack has of each.
MOST = {
    "order-svc": 3, "product-svc": 3, "processor": 3, "notify-svc": 3, "analytics-svc": 3, "user-svc": 3, "gateway": 2,
}  # fmt: skip
# Long enough that memory would grow, short enough that all topics are read again quickly.
RUNS_A_STACK = 10
ACTIONS = ("kill", "stop", "error", "delay:700")
# How often a step fails that runs at every order, and one that runs now and then.
OFTEN, RARE = 0.05, 0.5
RARE_STEPS = {"product_janitor", "product_janitor_fenced", "processor_rebalancing"}
# A restore passes the first for each of the hundreds (thousands, after ten runs) of records that it reads, and is to be
# struck in its middle; the other one is passed once, if at all.
CHANCES = {"processor_restoring": 0.005, "processor_revoked": 1.0}
# Beyond the group's session time-out (10 s), or well inside; a transaction's (60 s) fits into no run.
SLEEPS = (0.5, 4, 13)


@dataclass
class Fault:
    at: float  # seconds after the start of the load
    kind: str  # a function of faults.py
    target: str
    seconds: float  # until it is healed
    detail: dict = field(default_factory=dict)

    def __str__(self):
        more = " ".join(f"{key}={value}" for key, value in self.detail.items())
        return f"{self.kind} {self.target} for {self.seconds:.1f} s {more}".rstrip()


def step(at, target, name, action, chance=0.1, seconds=8.0):
    """A failpoint, by hand."""
    return Fault(at, "failpoint", target, seconds, {"step": name, "chance": chance, "action": action})


def stack_of(seed):
    return seed // RUNS_A_STACK


def instances(seed):
    """How many of each program: the same for all seeds that share a stack, so that each of them can be played again."""
    rnd = random.Random(f"instances {stack_of(seed)}")
    return {program: rnd.randint(1, most) for program, most in MOST.items()}


def deck_of_failpoints():
    return [
        (program, name, action)
        for program, steps in FAILPOINTS.items() for name in steps for action in ACTIONS
    ]  # fmt: skip


def deal(deck, seed, count):
    """The cards of this seed: a shuffled deck is dealt out before the next one is shuffled."""
    cards = []
    for place in range(seed * count, (seed + 1) * count):
        turn, index = divmod(place, len(deck))
        shuffled = random.Random(f"deck {turn}").sample(deck, len(deck))
        cards.append(shuffled[index])
    return cards


def failpoint(rnd, card, counts, seconds):
    program, name, action = card
    lasting = rnd.uniform(0.25, 0.5) * seconds
    victim = rnd.choice(names(program, counts))
    at = rnd.uniform(1, max(2, seconds - lasting))
    return step(at, victim, name, action, chance_of(name, action), lasting)


def chance_of(name, action):
    if name in CHANCES:
        return CHANCES[name]
    chance = RARE if name in RARE_STEPS else OFTEN
    return max(chance, 0.2) if action.startswith("delay") else chance


def names(program, counts):
    count = counts.get(program, 1)
    return [program] if count == 1 else [f"{program}.{n + 1}" for n in range(count)]


def other(rnd, kind, counts, seconds):
    programs = sorted({*counts, "gateway"})
    lasting = 0.0
    detail = {}
    target = rnd.choice(names(rnd.choice(programs), counts))
    if kind == "sleep":
        lasting = rnd.choice(SLEEPS)
        target = rnd.choice(names(rnd.choice([*counts]), counts))
    elif kind == "scale":
        target = rnd.choice(names(rnd.choice([*counts]), counts))
        lasting = rnd.uniform(3, 10)
    elif kind == "burst":
        lasting, detail = rnd.uniform(4, 8), {"every": round(rnd.uniform(0.3, 1), 2)}
        target = rnd.choice([*counts])
    elif " " in kind:
        target, _, kind = kind.partition(" ")
        lasting = rnd.choice((4, 8, 12) if kind == "clock" else (0.3, 2, 4, 12))
    at = rnd.uniform(1, max(2, seconds - lasting))
    return Fault(at, kind, target, lasting, detail)


def people(seed):
    """The crowd of a seed, as clients.Crowd takes it.  Results are absolute values: of few users each is soon written
    again, and right, so there are many."""
    rnd = random.Random(f"people {seed}")
    return {"users": rnd.randint(80, 120), "buyers": rnd.choice((6, 10, 16)), "pause_s": rnd.choice((0.03, 0.1, 0.3))}


def make(seed, seconds, counts, kinds, failpoints=4, others=4):
    """The faults of a run, by time; `kinds` is the deck of other faults (faults.DECK)."""
    rnd = random.Random(f"plan {seed}")
    faults = [failpoint(rnd, card, counts, seconds) for card in deal(deck_of_failpoints(), seed, failpoints)]
    faults += [other(rnd, kind, counts, seconds) for kind in deal(list(kinds), seed, others)]
    return sorted(faults, key=lambda fault: fault.at)
