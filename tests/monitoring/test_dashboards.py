"""Dashboards and Grafana's provisioning, as files: Grafana itself is not needed."""

import itertools
import json
import re

import pytest
import yaml
from rule_files import ROOT
from tool import load_tool

GRAFANA = ROOT / "monitoring" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
BOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
PROGRAMS = "gateway user-svc product-svc order-svc notify-svc analytics-svc processor".split()


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_boards_there_must_be():
    titles = {board["title"] for board in BOARDS.values()}
    assert {"E-Commerce Microservices Dashboard", "Orders and pipeline", "Gateway"} <= titles
    assert set(PROGRAMS) <= BOARDS.keys()


def test_files_are_what_the_generator_writes():
    load_tool("dashboards").main(["--check"])


def test_a_stale_file_is_noticed(tmp_path):
    for file in FILES:
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    load_tool("dashboards").main(["--check"], tmp_path)
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")
    (tmp_path / "orders.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"old\.json orders\.json"):
        load_tool("dashboards").main(["--check"], tmp_path)
    load_tool("dashboards").main([], tmp_path)
    load_tool("dashboards").main(["--check"], tmp_path)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_whole(name):
    board = BOARDS[name]
    assert board["uid"] == name
    assert board["refresh"] == "10s" and board["time"] == {"from": "now-1h", "to": "now"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    uid = source["datasources"][0]["uid"]
    variables = {one["name"] for one in board["templating"]["list"]}
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len(set(titles)), "two panels of one title"
    for panel in panels(board):
        assert panel["datasource"]["uid"] == uid
        assert panel["targets"] and panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == uid
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables, f"{panel['title']}: {used} is not defined"
    if variables:
        assert all(
            any(f"${one}" in target["expr"] for panel in panels(board) for target in panel["targets"]) for one in variables
        )


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name):
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    for place in places:
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_the_first_dashboard_shows_what_the_demo_shows():
    titles = {panel["title"] for panel in panels(BOARDS["ecommerce"])}
    assert {
        "Running", "Failed", "Restarts, last hour", "CPU against limit or request", "Memory against limit", "In, by service",
        "Out, by service", "Replicas, current", "Replicas, desired", "Nodes ready", "CPU by node", "Memory by node",
    } <= titles  # fmt: skip


def test_provisioning_leads_to_the_dashboards():
    providers = yaml.safe_load((GRAFANA / "provisioning/dashboards/shop.yml").read_text(encoding="utf-8"))["providers"]
    assert [one["options"]["path"] for one in providers] == ["/etc/grafana/dashboards"]
    assert all(one["allowUiUpdates"] is False for one in providers)
