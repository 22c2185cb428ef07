"""Tables in Markdown whose columns are aligned, so that a terminal shows them as well as a page."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table of texts: a row of titles, then the others; numbers to the right, all else to the left."""
    titles, *body = rows
    columns = list(zip(*rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    right = [all(not cell or cell.lstrip("-−").startswith(tuple("0123456789")) for cell in column[1:]) for column in columns]
    lines = [_line([f"{text:{'>' if to_right else '<'}{wide}}" for text, wide, to_right in zip(row, widths, right, strict=True)])
             for row in (titles, *body)]
    rule = "|" + "|".join("-" * (wide + 1) + (":" if to_right else "-") for wide, to_right in zip(widths, right, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def one_digit(x: float) -> str:
    """A number with one digit behind the point, which is never -0.0."""
    return f"{x:z.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
