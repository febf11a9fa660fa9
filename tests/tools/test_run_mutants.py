"""tools/run-mutants: when a mutant counts as caught, and which heads of patches are right."""

import pathlib
from types import SimpleNamespace

import pytest
from tool import load_tool

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    return load_tool("run-mutants")


def caught(tool, *results, wanted=("stock adds up",)):
    """Of a mutant with as many tries as results."""
    left = list(results)
    mutant = SimpleNamespace(tries=len(left), tests=["x"], wanted=list(wanted), breaks="all")
    return tool.caught(SimpleNamespace(test=lambda _: left.pop(0)), mutant)


def test_the_docs_tell_every_mutant(tool, monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "DOCUMENT", page)
    one, two = (SimpleNamespace(name=name, breaks="all", tests=["a.py::test_b[c]"]) for name in ("one", "two"))
    page.write_text("before\n<!-- begin mutants: written by tools/run-mutants --docs -->\n<!-- end mutants -->\nafter\n")
    assert tool.check_table([one]) == 1 and "--docs" in capsys.readouterr().out
    tool.write_table([one])
    assert tool.check_table([one]) == 0 and tool.check_table([one, two]) == 1
    assert page.read_text().startswith("before\n") and page.read_text().endswith("-->\nafter\n")


RIGHT = (1, 1, "BROKEN no client hangs\nBROKEN stock adds up at any moment\n1 failed")
OTHER = (1, 1, "BROKEN no client hangs\nE  stock adds up\n1 failed")
PASSES, BREAKS = (0, 0, "1 passed"), (4, 0, "usage")


def test_only_the_right_invariant_catches(tool):
    assert caught(tool, RIGHT) == (True, "caught")
    good, words = caught(tool, OTHER)
    assert not good and "no client hangs" in words and "stock adds up" in words
    assert caught(tool, OTHER, RIGHT) == (True, "caught by try 2")
    assert not caught(tool, (1, 1, "1 failed"))[0], "the test failed before any invariant was looked at"


def test_tests_without_invariants_catch_by_failing(tool):
    assert caught(tool, OTHER, wanted=()) == (True, "caught")
    assert "SURVIVED" in caught(tool, PASSES)[1] and "instead of failing" in caught(tool, BREAKS)[1]


CHANGES = [("Sees: ", "Seen: "), ("Sees: stock adds up", "Sees: stock flies"), ("Chaos: ", "Chao: ")]


@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_names_what_it_sees(tool, change, tmp_path):
    good = (tool.MUTANTS / "product-writes-what-it-read.patch").read_text()
    for text, right in ((good, True), (good.replace(*change), False)):
        path = tmp_path / "one.patch"
        path.write_text(text)
        assert (tool.Mutant(path).problem() == "") == right
