"""Tables for terminals of any width: names stay whole, and columns are omitted if the terminal is narrow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

GAP = "  "
_LEAST_ROOM = 24  # columns, for a text that is wrapped beside others
_INDENT = 4
_SHOWN_OF_DIGEST = 19  # the algorithm and twelve digits

Texts = Sequence[str]


def terminal_width() -> int:
    """Return the number of columns: that of ``COLUMNS``, else the terminal's, else 80."""
    return max(shutil.get_terminal_size().columns, 1)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under titles.

    Attributes:
        titles: one for each column, or none at all.
        rows: rows of texts; some may be shorter than others.
        to_the_right: indexes of right-aligned columns: numbers.
        left_out: titles of the columns to omit if the terminal is narrow, in that order.
    """

    titles: Texts
    rows: Sequence[Texts]
    to_the_right: frozenset[int] = frozenset()
    left_out: Texts = ()


def lines_of(table: Table, width: int) -> tuple[list[str], Texts]:
    """Return the lines of a table, titles first, and the titles of the omitted columns.

    A line is longer than ``width`` only if a single word is: names, paths and digests are never broken, so that they
    can be copied. A text with blanks is wrapped, beside the others or below them.
    """
    table, gone = _narrowed(table, width)
    widths = _widths(table)
    margin = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    # A right-aligned number cannot be moved below the others.
    aligned = _fits(widths, width) or (margin < width and len(widths) - 1 not in table.to_the_right)
    found = []
    if table.titles:
        found.append(_joined(table.titles, widths, table.to_the_right) if aligned else GAP.join(table.titles))
    for row in table.rows:
        found += _aligned(row, widths, table.to_the_right, width) if aligned else _below(row, width)
    return found, gone


def shortened_digest(text: str) -> str:
    """Return a digest shortened to its first characters; any other text is unchanged."""
    return f"{text[:_SHOWN_OF_DIGEST]}…" if text.startswith("sha256:") and " " not in text else text


def _narrowed(table: Table, width: int) -> tuple[Table, list[str]]:
    """Return a table with shortened digests and then omitted columns, until it fits or no more may be omitted.

    A last column of texts that can be wrapped beside the others fits: no other column is omitted for its longest text.
    """
    gone: list[str] = []
    if table.titles and not _fits(_widths(table), width):
        table = replace(table, rows=[[shortened_digest(text) for text in row] for row in table.rows])
    for title in table.left_out:
        if _fits(_least_widths(table), width):
            break
        place = table.titles.index(title)
        gone.append(title)
        table = Table(
            _without(table.titles, place),
            [_without(row, place) for row in table.rows],
            frozenset(number - (number > place) for number in table.to_the_right if number != place),
            table.left_out,
        )
    return table, gone


def _without(texts: Texts, place: int) -> Texts:
    return [text for number, text in enumerate(texts) if number != place]


def _widths(table: Table) -> list[int]:
    rows = [table.titles, *table.rows] if table.titles else table.rows
    count = max(map(len, rows), default=0)
    return [max(cell_len(row[place]) for row in rows if place < len(row)) for place in range(count)]


def _least_widths(table: Table) -> list[int]:
    """Return the widths of the columns, and of a last one of texts what they need beside the others."""
    widths = _widths(table)
    last = len(widths) - 1
    if widths and last not in table.to_the_right:
        cells = [row[last] for row in (table.titles, *table.rows) if last < len(row)]
        widths[last] = min(
            widths[last], max(_LEAST_ROOM, *(cell_len(word) for cell in cells for word in cell.split(" ")))
        )
    return widths


def _fits(widths: Sequence[int], width: int) -> bool:
    return sum(widths) + len(GAP) * (len(widths) - 1) <= width


def _aligned(row: Texts, widths: Sequence[int], to_the_right: frozenset[int], width: int) -> Iterator[str]:
    """Yield a row as lines: its last cell wrapped beside the others if there is room, else below them."""
    margin = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    room = width - margin
    if len(row) < len(widths) or cell_len(row[-1]) <= room:
        yield _joined(row, widths, to_the_right)
        return
    beside = room >= max(_LEAST_ROOM, *map(cell_len, row[-1].split(" ")))
    lines = _wrapped(row[-1], room if beside else max(width - _INDENT, 1))
    first = [lines.pop(0)] if beside else []
    yield _joined([*row[:-1], *first], widths, to_the_right)
    yield from (" " * (margin if beside else _INDENT) + line for line in lines)


def _below(row: Texts, width: int) -> Iterator[str]:
    """Yield a row as lines: its cells one after another, the next line indented, each word whole."""
    line = ""
    for number, text in enumerate(row):
        joined = f"{line}{GAP}{text}" if number else text
        if not number or cell_len(joined) <= width:
            line = joined
            continue
        yield line.rstrip()
        *full, rest = _wrapped(text, max(width - _INDENT, 1))
        yield from (" " * _INDENT + part for part in full)
        line = " " * _INDENT + rest
    yield line.rstrip()


def _wrapped(text: str, room: int) -> list[str]:
    """Return a text in lines of at most ``room`` columns, broken at blanks; a longer word gets a line alone."""
    if cell_len(text) <= room or not text.strip():
        return [text]
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _joined(row: Texts, widths: Sequence[int], to_the_right: frozenset[int]) -> str:
    cells = []
    for number, (text, width) in enumerate(zip(row, widths, strict=False)):
        filling = " " * (width - cell_len(text))
        cells.append(filling + text if number in to_the_right else text + filling)
    return GAP.join(cells).rstrip()
