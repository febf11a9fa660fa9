"""tests/scenarios.md is true: every scenario has its tests, and every failpoint is used."""

import re

from shop_stack import ROOT

TESTS = [path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
DEFINED = {name for text in TESTS for name in re.findall(r"^def (test_\w+)\(", text, re.M)}


def rows():
    text = (ROOT / "tests" / "scenarios.md").read_text()
    found = re.findall(r"^\| (\d+) \|(.*)$", text, re.M)
    return {int(number): set(re.findall(r"`(test_\w+)`", rest)) for number, rest in found}


def test_every_scenario_has_tests_that_exist():
    assert sorted(rows()) == list(range(1, 26))
    assert [n for n, names in rows().items() if not names] == []
    assert set.union(*rows().values()) - DEFINED == set()


def test_numbered_tests_stand_under_their_number():
    for name in DEFINED:
        numbers = re.match(r"test_((?:s\d\d_)+)", name)
        for number in re.findall(r"\d\d", numbers[1]) if numbers else []:
            assert name in rows()[int(number)], name


def test_every_failpoint_is_used():
    points = {
        name for path in ROOT.glob("*/*.c") for name in re.findall(r'FAILPOINT\("(\w+)"\)', path.read_text())
    }  # fmt: skip
    assert len(points) > 15
    unused = [name for name in sorted(points) if not any(f'"{name}"' in text or f"{name}:" in text for text in TESTS)]
    assert unused == []
