"""Tables in Markdown."""


def table(titles, rows, right=()):
    """A line for each row.

    titles  of the columns
    rows    the cells of each, texts or numbers
    right   titles of the columns that are aligned to the right
    """
    marks = "".join("---:|" if title in right else "---|" for title in titles)
    return "\n".join([line(titles), f"|{marks}", *map(line, rows)])


def line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def short(text, keys, titles):
    """The named columns of a table; for each key, the rows whose first cells are those of the key. Raises KeyError without one."""
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = {key: [row for row in rows if row[: len(key)] == list(key)] for key in keys}
    if missing := [key for key, of_key in found.items() if not of_key]:
        raise KeyError(f"the table has no row of {missing}")
    kept = [row for of_key in found.values() for row in of_key]
    return table(titles, [[row[header.index(title)] for title in titles] for row in kept])
