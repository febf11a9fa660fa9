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
    rows = [(one["part"], one["checked"], "; ".join(one["broken"]) or "none") for one in checks]
    return table(title, ("part", "checked", "broken"), rows)
