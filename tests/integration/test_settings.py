"""What the programs say about their settings and arguments, and how they refuse wrong ones."""

import json
import os
import re
import subprocess

import pytest
from shop_stack import MODE, ROOT

BIN = ROOT / os.environ.get("BUILD", "build") / MODE / "bin"
PROGRAMS = ["gateway", "user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc", "processor"]
DATABASE = {"DB_USER": "a", "DB_PASSWORD": "b", "DB_NAME": "c"}


def run(program, *args, **env):
    return subprocess.run([BIN / program, *args], env=env, cwd=ROOT, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_names_everything_once(program):
    text = run(program, "--help").stdout
    arguments = re.findall(r"^  (--[a-z-]+)", text, re.M)
    assert len(arguments) == len(set(arguments)) and "--check-config" in arguments
    settings = [entry["name"] for entry in json.loads(run(program, "--settings-json").stdout)]
    assert re.findall(r"^  ([A-Z_]+)$", text, re.M) == settings


def test_variables_of_the_routes_file_are_settings():
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "gateway" / "routes.json").read_text()))
    known = {entry["name"] for entry in json.loads(run("gateway", "--settings-json").stdout)}
    assert used and used <= known


@pytest.mark.parametrize(
    ("program", "env", "says"),
    [
        *[(program, {"LOG_LEVEL": "loud"}, "LOG_LEVEL") for program in PROGRAMS],
        ("gateway", {"ROUTES_FILE": "/nowhere"}, "/nowhere"),
        ("gateway", {}, "USER_SVC_URL is not set"),
        ("user-svc", DATABASE, "SIGNING_KEY_FILE is not set"),
        ("user-svc", {**DATABASE, "DB_SSL_CA": "/nowhere.pem"}, "DB_SSL_CA: cannot read '/nowhere.pem'"),
        ("analytics-svc", {"KAFKA_SSL_CAFILE": "/nowhere.pem"}, "KAFKA_SSL_CAFILE: cannot read '/nowhere.pem'"),
        ("processor", {}, "PROCESSOR_SLOT is not set"),
        ("processor", {"HOSTNAME": "3f2a9c1b2d4e"}, "PROCESSOR_SLOT is not set"),
    ],
)
def test_wrong_settings_stop_the_start(program, env, says):
    for args in ([], ["--check-config"]):
        done = run(program, *args, **env)
        assert done.returncode == 2 and says in done.stderr, args


def test_a_stateful_sets_ordinal_is_the_slot():
    assert run("processor", "--check-config", HOSTNAME="processor-2").returncode == 0


def test_addresses_for_the_routes_may_come_by_file(tmp_path):
    (tmp_path / "url").write_text("http://127.0.0.1:1\n")
    env = {f"{name}_SVC_URL_FILE": str(tmp_path / "url") for name in "USER PRODUCT ORDER NOTIFY ANALYTICS".split()}
    done = run("gateway", "--check-config", **env)
    assert done.returncode == 0 and "USER_SVC_URL=http://127.0.0.1:1" in done.stdout
