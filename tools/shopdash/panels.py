"""Panels and boards in Grafana's JSON model, as far as our dashboards use it."""

WIDTH = 24
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
GREEN, YELLOW, RED = "green", "yellow", "red"


def _targets(queries):
    """`queries`: one query, or pairs of query and legend."""
    if isinstance(queries, str):
        queries = [(queries, "__auto")]
    return [
        {"refId": chr(ord("A") + i), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
        for i, (expr, legend) in enumerate(queries)
    ]


def _panel(kind, title, queries, says, unit, width, height, **more):
    defaults = {"unit": unit, **more.pop("defaults", {})}
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": _targets(queries),
        **more,
    }


def steps(*limits):
    """Green, from the first number on yellow, from the second red."""
    colours = zip((GREEN, YELLOW, RED), (None, *limits), strict=False)
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in colours]}


def bad_if_any():
    return {"mode": "absolute", "steps": [{"color": GREEN, "value": None}, {"color": RED, "value": 1}]}


def good_from(value):
    return {"mode": "absolute", "steps": [{"color": RED, "value": None}, {"color": GREEN, "value": value}]}


def stat(title, query, says, unit="short", thresholds=None, width=4, decimals=None):
    """One figure, with its course behind it."""
    defaults = {"thresholds": thresholds or steps()}
    if decimals is not None:
        defaults["decimals"] = decimals
    answer = _panel(
        "stat",
        title,
        query,
        says,
        unit,
        width,
        4,
        defaults=defaults,
        options={
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "textMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )
    answer["targets"][0]["legendFormat"] = ""
    return answer


def graph(title, queries, says, unit="short", width=8, stack=False, limit=None):
    """Lines over time; `limit` draws a line at which it gets bad."""
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if stack:
        custom.update(stacking={"mode": "normal", "group": "A"}, fillOpacity=40)
    defaults = {"custom": custom, "min": 0}
    if limit is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": GREEN, "value": None}, {"color": RED, "value": limit}],
        }
    return _panel(
        "timeseries",
        title,
        queries,
        says,
        unit,
        width,
        8,
        defaults=defaults,
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def _laid_out(rows):
    """Row by row, left to right, a new line when one is full; ids count up."""
    y = 0
    for title, panels in rows:
        yield {
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }
        y += 1
        x = height = 0
        for panel in panels:
            place = panel["gridPos"]
            if x + place["w"] > WIDTH:
                x, y, height = 0, y + height, 0
            yield {**panel, "gridPos": {**place, "x": x, "y": y}}
            x, height = x + place["w"], max(height, place["h"])
        y += height


def variable(name, label, query):
    """A choice at the top, filled by a query; everything at first."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": "variable"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def board(uid, title, says, rows, variables=()):
    return {
        "uid": uid,
        "title": title,
        "description": says,
        "tags": ["shop"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "title": "Shop",
                "tags": ["shop"],
                "asDropdown": True,
                "includeVars": False,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": list(variables)},
        "panels": [{"id": number, **panel} for number, panel in enumerate(_laid_out(rows), 1)],
    }
