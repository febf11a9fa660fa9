"""Rules: promtool's own checks, and that each alert has a runbook and tests that would notice."""

import re
import shutil

import pytest
import yaml
from rule_files import (
    ALWAYS,
    ROOT,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    alerts,
    promtool,
    rules,
    without_a_branch,
    without_runbook,
    without_tests,
)

TOPICS = ROOT / "tools" / "topics.json"


def test_rules_are_valid():
    done = promtool("check", "rules", *sorted(RULES.glob("*.yml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_of_compose_is_valid():
    done = promtool("check", "config", "monitoring/prometheus/prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(RULES.glob('*.yml')))} rule files found" in done.stdout


def test_the_configuration_of_kubernetes_is_valid(tmp_path):
    # Debian's promtool knows no kubernetes_sd_configs: all else, with fixed targets in their place.
    text = yaml.safe_load((ROOT / "k8s/monitoring/base/prometheus.yml").read_text(encoding="utf-8"))
    for job in text["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs"), job["job_name"]
        job["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    done = promtool("check", "config", "--syntax-only", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(RULE_TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_rules_do_what_their_tests_say(file):
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_runbook():
    assert without_runbook() == []


def test_every_alert_has_tests():
    assert without_tests() == []


def test_every_alert_says_what_it_is():
    for file, rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket") or rule["alert"] in ALWAYS, (file.name, rule["alert"])
        assert {"summary", "description", "runbook"} == rule["annotations"].keys(), rule["alert"]


def test_twelve_partitions_are_what_the_topic_has():
    topics = {one["name"]: one["partitions"] for one in yaml.safe_load(TOPICS.read_text(encoding="utf-8"))["topics"]}
    unassigned = next(rule for _, rule in alerts() if rule["alert"] == "ProcessorPartitionsUnassigned")
    assert f"< {topics['orders-events']}" in unassigned["expr"]


# ---- the checks can fail ----


@pytest.fixture
def copied(tmp_path):
    """Copies of rules, tests and runbooks, to break."""
    for source, name in ((RULES, "rules"), (RULE_TESTS, "tests"), (RUNBOOKS, "runbooks")):
        shutil.copytree(source, tmp_path / name)
    return tmp_path


def test_a_missing_runbook_is_noticed(copied):
    (copied / "runbooks" / "OutboxOld.md").unlink()
    assert without_runbook(copied / "rules", copied / "runbooks") == ["OutboxOld: no runbook"]


def test_a_runbook_without_a_section_is_noticed(copied):
    file = copied / "runbooks" / "OutboxOld.md"
    file.write_text(file.read_text(encoding="utf-8").replace("## Escalate", "## Later"), encoding="utf-8")
    assert [line.split(":")[0] for line in without_runbook(copied / "rules", copied / "runbooks")] == ["OutboxOld"]


def test_a_runbook_that_reads_one_pod_is_noticed(copied):
    file = copied / "runbooks" / "OutboxOld.md"
    file.write_text(file.read_text(encoding="utf-8").replace("logs order-svc", "kubectl -n shop logs deploy/order-svc"))
    found = without_runbook(copied / "rules", copied / "runbooks")
    assert found == ["OutboxOld: reads the log of one pod of several"]


def test_a_missing_test_is_noticed(copied):
    file = copied / "tests" / "pipeline.yml"
    text = yaml.safe_load(file.read_text(encoding="utf-8"))
    text["tests"] = [test for test in text["tests"] if not test["name"].startswith("OutboxOld fires")]
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    assert without_tests(copied / "rules", copied / "tests") == ["OutboxOld: no test in which it fires"]


def test_a_silent_test_without_series_does_not_count(copied):
    file = copied / "tests" / "pipeline.yml"
    text = yaml.safe_load(file.read_text(encoding="utf-8"))
    for test in text["tests"]:
        if test["name"].startswith("OutboxOld stays"):
            del test["input_series"]
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    assert without_tests(copied / "rules", copied / "tests") == ["OutboxOld: no test in which it stays silent"]


def _break(copied, file, change):
    """Rewrites the rules of a file that `change` has another expression for."""
    copy = copied / "rules" / file.name
    text = yaml.safe_load(copy.read_text(encoding="utf-8"))
    for group in text["groups"]:
        for rule in group["rules"]:
            rule["expr"] = change(rule) or rule["expr"]
    copy.write_text(yaml.safe_dump(text), encoding="utf-8")


def _noticed(copied, tests, alert=None):
    """The alerts, or this one, whose tests in this file fail on the copied rules."""
    tests = copied / "tests" / tests
    text = yaml.safe_load(tests.read_text(encoding="utf-8"))
    text["rule_files"] = [f"../rules/{one.rpartition('/')[2]}" for one in text["rule_files"]]
    if alert:
        text["tests"] = [one for one in text["tests"] if alert in {case["alertname"] for case in one["alert_rule_test"]}]
    tests.write_text(yaml.safe_dump(text), encoding="utf-8")
    done = promtool("test", "rules", tests)
    return set(re.findall(r"^    alertname: (\w+), time: ", done.stdout + done.stderr, flags=re.M))


@pytest.mark.parametrize("expr", ["vector(1) > 2", "vector(1)"], ids=["never", "always"])
@pytest.mark.parametrize("file", sorted({file for file, _ in alerts()}), ids=lambda file: file.stem)
def test_the_tests_notice_an_alert_that_is_broken(copied, file, expr):
    mine = {rule["alert"] for where, rule in alerts() if where == file}
    _break(copied, file, lambda rule: "alert" in rule and expr)
    assert _noticed(copied, file.name) >= mine - (ALWAYS if expr == "vector(1)" else set())


def branches():
    """Each rule with an `or`, once without each of its sides."""
    for file, rule in rules():
        what = f"{rule.get('alert', rule.get('record'))} {rule.get('labels', {}).get('severity', '')}".strip()
        for number, expr in enumerate(without_a_branch(rule["expr"]), 1):
            yield pytest.param(file, rule, expr, id=f"{what} {number}")


@pytest.mark.parametrize("file, rule, expr", branches())
def test_the_tests_notice_a_branch_that_is_gone(copied, file, rule, expr):
    """Of an alert by its own tests; of what is recorded by those of some alert."""
    _break(copied, file, lambda one: expr if one == rule else None)
    if "alert" in rule:
        assert rule["alert"] in _noticed(copied, file.name, rule["alert"])
    else:
        users = [one for one in RULE_TESTS.glob("*.yml") if f"/{file.name}\n" in one.read_text(encoding="utf-8")]
        assert any(_noticed(copied, one.name) for one in users)


def test_branches_are_taken_apart():
    nested = 'sum by (a) (x{b="or"} or y) > 1 or (z and y) or order'
    assert list(without_a_branch(nested)) == [
        'sum by (a) ( y) > 1 or (z and y) or order',
        'sum by (a) (x{b="or"} ) > 1 or (z and y) or order',
        ' (z and y) or order',
        'sum by (a) (x{b="or"} or y) > 1 or order',
        'sum by (a) (x{b="or"} or y) > 1 or (z and y) ',
    ]
    assert list(without_a_branch("x and y")) == []
