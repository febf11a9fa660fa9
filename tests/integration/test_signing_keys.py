"""The signing keys made beforehand, shared by instances, and rotated while the shop runs."""

import json
import os
import stat
import subprocess

import pytest
from alone import binary, passed_on
from gateway_rig import Gateway, Upstream, always, reply, until
from shop_stack import MODE, ROOT


def user_svc(*args, **more):
    """No settings are given: none are needed."""
    command = [binary("user-svc", MODE), *args]
    return subprocess.run(command, env=passed_on(), cwd=ROOT, capture_output=True, text=True, timeout=60, **more)


def kids(text):
    return [key["kid"] for key in json.loads(text)["keys"]]


def test_keys_are_made_and_rotated_as_files_and_in_pipes(tmp_path):
    made = user_svc("--make-key", "-")
    assert made.returncode == 0 and len(set(kids(made.stdout))) == 2
    rotated = user_svc("--rotate-key", "-", input=made.stdout)
    assert rotated.returncode == 0
    (current, following), (signs, new, old) = kids(made.stdout), kids(rotated.stdout)
    assert (signs, old) == (following, current) and new not in (current, following)

    file = tmp_path / "keys.json"
    assert user_svc("--make-key", file).stdout == f"{file} made\n"
    before = file.read_text()
    assert user_svc("--make-key", file).stdout == f"{file} is there already\n"
    assert file.read_text() == before
    assert user_svc("--rotate-key", file).returncode == 0
    assert kids(file.read_text())[0] == kids(before)[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["keys.json"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--rotate-key", "/nowhere/keys.json"], "/nowhere/keys.json"),
        (["--make-key", "/nowhere/keys.json"], "/nowhere/keys.json"),
        (["--rotate-key"], "FILE"),
        (["--make-key"], "FILE"),
    ],
)
def test_what_cannot_be_done_is_said(args, says):
    done = user_svc(*args)
    assert done.returncode == 1 and says in done.stderr and not done.stdout


def test_garbage_is_not_rotated():
    done = user_svc("--rotate-key", "-", input='{"keys": []}')
    assert done.returncode == 1 and "private RSA keys" in done.stderr and not done.stdout


def test_a_rotation_logs_nobody_out(stack):
    user, before = stack.new_user()
    file = stack.env("user-svc")["SIGNING_KEY_FILE"]
    assert user_svc("--rotate-key", file).returncode == 0
    stack.restart("user-svc")
    new_user, after = stack.new_user()
    for user_id, token in ((user, before), (new_user, after)):
        # The gateway and order-svc still have the set from before the rotation.
        assert stack.api("GET", f"/api/orders?user_id={user_id}", token=token).status_code == 200


def test_who_comes_while_no_keys_are_known_makes_them_be_fetched():
    """By themselves the tries are 4 and 5 s apart by then: four more would take 19 s."""
    refuse = always(reply(b"{}", "503 Service Unavailable"))
    with Upstream(refuse) as keys, Upstream(always(reply())) as up:
        routes = {"/.well-known/jwks.json": (keys, {"listener": "internal"}), "/x": (up, {"who": ["user"]})}
        with Gateway(routes) as gw:
            until(lambda: keys.n_requests >= 5, 20, "tries")
            tried = keys.n_requests

            def tried_again():
                status, fields, _ = gw.ask("GET /x HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer a.b.c\r\n\r\n")
                assert status == 503 and dict(fields)["retry-after"] == "1"
                return keys.n_requests >= tried + 4

            until(tried_again, 12, "tries because of requests")
