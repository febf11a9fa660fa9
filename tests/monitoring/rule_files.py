"""Reads rules, their tests and runbooks, and says what is missing; each check takes its folders, to be shown broken ones."""

import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "monitoring" / "prometheus" / "rules"
RULE_TESTS = ROOT / "tests" / "monitoring" / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["What users see", "Look here first", "Fix", "Escalate"]
# kubectl picks one of its pods; functions.sh has `logs`.  What watches is one pod each.
ONE_POD = re.compile(r"-n shop logs (deploy|deployment|sts|statefulset|job)/")
# Fires always, that is its purpose: it has no silent case.
ALWAYS = {"Watchdog"}
TOKEN = re.compile(r'"[^"]*"|[()]|\bor\b')


def rules(folder=RULES):
    """(file, rule), recording and alerting."""
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield file, rule


def alerts(folder=RULES):
    return [(file, rule) for file, rule in rules(folder) if "alert" in rule]


def without_a_branch(expr):
    """The expression without one side of an `or`; so for each side of each."""
    groups = [[0]]  # of each open parenthesis: where its sides begin and end
    for token in TOKEN.finditer(f"{expr})"):
        if token[0] == "(":
            groups.append([token.end()])
        elif token[0] == "or":
            groups[-1] += token.span()
        elif token[0] == ")":
            edges = [*groups.pop(), token.start()]
            sides = list(zip(edges[::2], edges[1::2], strict=True))
            for gone in sides if len(sides) > 1 else []:
                kept = "or".join(expr[begin:end] for begin, end in sides if (begin, end) != gone)
                yield expr[: edges[0]] + kept + expr[edges[-1] :]


def names(folder=RULES):
    return sorted({rule["alert"] for _, rule in alerts(folder)})


def without_runbook(rule_folder=RULES, runbooks=RUNBOOKS):
    """What is wrong between alerts and runbooks, both ways."""
    known = set(names(rule_folder))
    files = {file.stem: file.read_text(encoding="utf-8") for file in runbooks.glob("*.md") if file.stem != "README"}
    index = (runbooks / "README.md").read_text(encoding="utf-8")
    wrong = [f"{name}: no runbook" for name in known - files.keys()]
    wrong += [f"{name}: a runbook without an alert" for name in files.keys() - known]
    for name, text in files.items():
        found = re.findall(r"^## (.*)$", text, flags=re.M)
        if found != SECTIONS or not text.startswith(f"# {name}\n"):
            wrong.append(f"{name}: its sections are {found}")
        if "```sh\n" not in text:
            wrong.append(f"{name}: no command")
        if ONE_POD.search(text):
            wrong.append(f"{name}: reads the log of one pod of several")
        if f"({name}.md)" not in index:
            wrong.append(f"{name}: not in the runbooks' README")
    for _, rule in alerts(rule_folder):
        if rule.get("annotations", {}).get("runbook") != f"docs/runbooks/{rule['alert']}.md":
            wrong.append(f"{rule['alert']}: its annotation names another runbook")
    return wrong


def without_tests(rule_folder=RULES, tests=RULE_TESTS):
    """Alerts that no test makes fire, or that none keeps silent although something comes in."""
    fires, silent = set(), set()
    for file in tests.glob("*.yml"):
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for case in test.get("alert_rule_test", []):
                if case.get("exp_alerts"):
                    fires.add(case["alertname"])
                elif test.get("input_series"):
                    silent.add(case["alertname"])
    known = set(names(rule_folder))
    wrong = [f"{name}: no test in which it fires" for name in known - fires]
    wrong += [f"{name}: no test in which it stays silent" for name in known - silent - ALWAYS]
    return wrong + [f"{name}: tested, but there is no such alert" for name in (fires | silent) - known]


def labels_of_alerts(tests=RULE_TESTS):
    """Alert -> the labels that it fires with in each of its tests."""
    found = {}
    for file in tests.glob("*.yml"):
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for case in test.get("alert_rule_test", []):
                for one in case.get("exp_alerts") or []:
                    name, labels = case["alertname"], set(one["exp_labels"])
                    found[name] = found.get(name, labels) & labels
    return found


def promtool(*args, cwd=ROOT):
    return subprocess.run(["promtool", *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
