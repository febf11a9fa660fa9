"""docs/runbooks/functions.sh with a kubectl that only says what it was asked."""

import os
import re
import subprocess

from rule_files import ONE_POD, ROOT

# Two pods, one after the other, as kubectl shows them.
KUBECTL = """#!/bin/sh
echo "$@" >>"$ASKED"
echo '[pod/order-svc-a/order-svc] 2026-01-01T10:00:01Z {"msg":"first"}'
echo '[pod/order-svc-a/order-svc] 2026-01-01T10:00:03Z {"msg":"third"}'
echo '[pod/order-svc-b/order-svc] 2026-01-01T10:00:02Z {"msg":"second"}'
"""


def call(folder, line):
    (folder / "kubectl").write_text(KUBECTL, encoding="utf-8")
    (folder / "kubectl").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ASKED": str(folder / "asked")}
    command = ["bash", "-c", f". docs/runbooks/functions.sh; {line}"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout, (folder / "asked").read_text(encoding="utf-8")


def test_logs_are_those_of_all_pods_by_time(tmp_path):
    out, asked = call(tmp_path, "logs order-svc --since=5m")
    assert re.findall(r'"msg":"(\w+)"', out) == ["first", "second", "third"]
    assert {"-l", "app.kubernetes.io/name=order-svc", "--prefix", "--tail=-1", "--since=5m"} <= set(asked.split())


# An operator that has read the secret when it was asked for the fourth time, or never.
OPERATOR = """#!/bin/sh
printf '%s\\n' "$*" >>"$ASKED"
case "$*" in
*annotate*) echo annotated ;;
*) if [ "$(grep -c 'get externalsecret' "$ASKED")" -ge "$LOOKS" ]; then echo 10:00:07; else echo 10:00:00; fi ;;
esac
"""


def fresh(folder, looks):
    (folder / "kubectl").write_text(OPERATOR, encoding="utf-8")
    (folder / "kubectl").chmod(0o755)
    path, asked = f"{folder}:{os.environ['PATH']}", folder / "asked"
    env = {**os.environ, "PATH": path, "ASKED": str(asked), "LOOKS": str(looks), "FRESH_PAUSE": "0"}
    command = ["bash", "-c", ". docs/runbooks/functions.sh; fresh user-svc"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done, asked.read_text(encoding="utf-8").splitlines()


def test_a_secret_is_fresh_when_the_operator_has_read_it(tmp_path):
    done, asked = fresh(tmp_path, 4)
    assert done.returncode == 0, done.stderr
    assert [line.split()[2] for line in asked] == ["get", "annotate", "get", "get", "get"]
    assert "externalsecret user-svc force-sync=" in asked[1]


def test_a_secret_that_does_not_come_is_told(tmp_path):
    done, _ = fresh(tmp_path, 1000)
    assert done.returncode == 1 and "user-svc was not refreshed" in done.stderr


def test_no_step_restarts_before_the_secret_is_there():
    """On EKS: a restart reads the Secret, which is as old as an hour."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| rotate ")]
    assert len(rows) == 3
    for row in rows:
        for restart in re.finditer("rollout restart|delete pods", row):
            assert "`fresh " in row[: restart.start()], row
        assert "rollout restart" in row, row


def test_nothing_else_tells_to_read_one_pod():
    assert not ONE_POD.search((ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8"))
