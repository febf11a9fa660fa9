"""What all tables are made with."""

MISSING = "–"


def table(title, head, rows):
    if not rows:
        return ""
    lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n\n"


def number(value, digits=0):
    return MISSING if value is None else f"{value:,.{digits}f}"


def ratio(value, other, digits=1):
    return MISSING if not value or not other else f"{value / other:.{digits}f} ×"


def over(value, low):
    """Goal `at least`: seen, and is it reached?"""
    return MISSING if value is None else "yes" if value >= low else "no"


def under(value, high):
    return MISSING if value is None else "yes" if value <= high else "no"


def check_table(title, checks):
    """One line for all checks of a name."""
    parts = {}
    for one in checks:
        parts.setdefault(one["part"], []).append(one)
    rows = []
    for name, several in parts.items():
        broken = [text for one in several for text in one["broken"]]
        rows.append((name, len(several), sum(one["checked"] for one in several), "; ".join(broken) or "none"))
    return table(title, ("part", "times", "checked", "broken"), rows)
