"""Queries of dashboards, rules and runbooks, and the series that they ask for."""

import json
import re

from rule_files import ROOT, RUNBOOKS, rules

GRAFANA = {"$__rate_interval": "1m", "$instance": ".*"}
# Words of the language that look like metrics.
WORDS = set("and or unless by on ignoring without group_left group_right bool offset inf nan".split())
LABELS = re.compile(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^()]*\)")
STRING = r'"(?:[^"\\]|\\.)*"'
SELECTOR = re.compile(rf"{STRING}|([a-zA-Z_:][\w:]*)\s*(\{{(?:{STRING}|[^{{}}\"])*\}})?(?!\s*\()(?![\w:])")


def selectors(expr):
    """What it selects, each as a query of its own: metric{labels}."""
    text = re.sub(rf"({STRING})", lambda match: match[0].replace("(", "\x01").replace(")", "\x02"), expr)
    text = re.sub(r"\[[^\]]*\]", "", LABELS.sub(" ", text))
    found = set()
    for match in SELECTOR.finditer(text):
        name, labels = match[1], match[2] or ""
        if name and name.lower() not in WORDS:
            found.add((name + labels).replace("\x01", "(").replace("\x02", ")"))
    return found


def of_dashboards():
    """(where, query) of every panel and variable."""
    for file in sorted((ROOT / "monitoring/grafana/dashboards").glob("*.json")):
        board = json.loads(file.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"]
                for name, value in GRAFANA.items():
                    expr = expr.replace(name, value)
                yield f"{file.stem}: {panel['title']}", expr
        for one in board["templating"]["list"]:
            asked, _, _ = re.fullmatch(r"label_values\((.*)\)", one["query"]["query"])[1].rpartition(",")
            yield f"{file.stem}: ${one['name']}", asked


def of_rules():
    """(where, expression, is it an alert)"""
    for file, rule in rules():
        yield f"{file.stem}: {rule.get('alert') or rule['record']}", rule["expr"], "alert" in rule


def of_runbooks():
    for file in sorted(RUNBOOKS.glob("*.md")):
        for expr in re.findall(r"\bprom '([^']*)'", file.read_text(encoding="utf-8")):
            yield file.stem, expr


def statements_of_runbooks():
    """(where, program, statement)"""
    for file in sorted(RUNBOOKS.glob("*.md")):
        for program, text in re.findall(r'\bsql ([a-z]+-svc) "([^"]*)"', file.read_text(encoding="utf-8")):
            yield file.stem, program, text
