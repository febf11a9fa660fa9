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


def test_nothing_else_tells_to_read_one_pod():
    assert not ONE_POD.search((ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8"))
