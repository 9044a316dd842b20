"""One line of the table, what it has to reach, and the table itself."""

from dataclasses import dataclass


@dataclass
class Target:
    """`ours` against a side times a factor; without a side, against a figure."""

    comparison: str
    factor: float
    side: str = ""

    def reached(self, line):
        bound = self.factor
        if self.side:
            other = getattr(line, self.side)
            if other is None:
                return None
            bound *= other
        return line.ours >= bound if self.comparison == ">=" else line.ours <= bound

    def __str__(self):
        return f"{self.comparison} {shown(self.factor)}{' x ' + self.side if self.side else ''}"


@dataclass
class Line:
    what: str
    unit: str
    ours: float | None = None
    peer: float | None = None
    limit: float | None = None
    targets: tuple = ()
    note: str = ""  # what peer and limit are

    def cells(self):
        def ratio(other):
            return shown(self.ours / other) if other and self.ours is not None else ""

        reached = [target.reached(self) for target in self.targets] if self.ours is not None else []
        verdict = "" if not reached or None in reached else "reached" if all(reached) else "MISSED"
        return [
            self.what,
            self.unit,
            shown(self.ours),
            shown(self.peer),
            shown(self.limit),
            ratio(self.peer),
            ratio(self.limit),
            ", ".join(map(str, self.targets)),
            verdict,
            self.note,
        ]


def shown(number):
    """Three digits that count."""
    if number is None:
        return ""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.3g}"


HEAD = ["what", "unit", "ours", "peer", "limit", "ours/peer", "ours/limit", "target", "", "peer; limit"]
NUMBERS = range(2, 7)


def table(lines):
    rows = [HEAD] + [line.cells() for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]

    def text(row):
        cells = [
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * (width - 1) + (":" if column in NUMBERS else "-") for column, width in enumerate(widths)]
    return "\n".join([text(rows[0]), text(rule), *map(text, rows[1:])])
