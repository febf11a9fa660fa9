"""As much as the settings allow fits into the memory that the manifests and compose give."""

import functools
import json
import subprocess

import pytest
import yaml
from shop import ROOT, documents
from test_manifests import BIN, OVERLAYS, PARTITIONS, pod_of, settings_of

MIB = 1 << 20
# Without users and buffers, as measured under load; the processor while it catches up.
BARE = {"analytics-svc": 11_000_000, "gateway": 24_000_000, "processor": 57_000_000}
# sizeof(struct user), which both programs assert when they are compiled.
SLOT, USER = 40, 88


def power_of_two(least):
    return 1 << (int(least) - 1).bit_length()


def analytics(settings):
    """users.c: three of four slots are used at most; a shrinking table is there twice, and qsort() copies the users."""
    users = int(settings["MAX_USERS"])
    return 2 * SLOT * power_of_two(users * 4 / 3) + SLOT * users


def processor(settings):
    """user_state.c: one allocation a user, with 8 bytes of malloc's, and a bucket of 8 bytes at least; all partitions."""
    users = int(settings["MAX_USERS_PER_PARTITION"])
    return PARTITIONS * (users * (USER + 8) + 8 * power_of_two(users))


def gateway(settings):
    """shed.c counts most of it; measured with bodies of 1 B to 64 KB: 1.3 times the budget, and 0.8 KB an idle client."""
    return 1.4 * 1024 * int(settings["BUFFER_KIB"]) + 1024 * int(settings["MAX_CLIENTS"])


NEEDS = {"analytics-svc": analytics, "gateway": gateway, "processor": processor}


def fits(name, settings, limit):
    return BARE[name] + NEEDS[name](settings) <= limit


@functools.cache
def rendered(place):
    return {(doc["kind"], doc["metadata"]["name"]): doc for doc in documents(OVERLAYS[place])}


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("place", sorted(OVERLAYS))
def test_what_the_settings_allow_fits_into_the_limit_of_the_pod(place, name):
    docs = rendered(place)
    doc = docs.get(("Deployment", name)) or docs["StatefulSet", name]
    limit = pod_of(doc)["containers"][0]["resources"]["limits"]["memory"]
    assert fits(name, defaults(name) | settings_of(docs, doc), int(limit.removesuffix("Mi")) * MIB)


@pytest.mark.parametrize("name", NEEDS)
def test_what_the_settings_allow_fits_into_the_limit_of_the_container(name):
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"][name]
    assert fits(name, defaults(name) | service["environment"], int(service["mem_limit"].removesuffix("m")) * MIB)


def defaults(name):
    done = subprocess.run([BIN / name, "--settings-json"], capture_output=True, text=True, check=True)
    return {entry["name"]: entry["default"] for entry in json.loads(done.stdout)}


def test_what_does_not_fit_is_seen():
    """The size at which the table of users would double."""
    assert fits("analytics-svc", {"MAX_USERS": "786432"}, 128 * MIB)
    assert not fits("analytics-svc", {"MAX_USERS": "786433"}, 128 * MIB)
