"""What a command writes: data to stdout, everything else to stderr.

On a terminal data is a table; elsewhere it is one record a line, its fields separated by tabs, complete and without
decoration. A pager, ``cut`` and ``awk`` need nothing else, and ``--json`` is there for programs.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from rich.console import Console

DOCUMENT_FORMAT = 1
"""Of the JSON documents. It rises when a field changes its meaning or goes away; new fields may come without."""


class Size(int):
    """A number of bytes, shown to people as kB or MB."""


Cell = str | int | datetime
Row = Sequence[Cell]


class OutputClosedError(Exception):
    """Whoever read our output has stopped, as ``head`` does. No failure, and nothing to tell."""


def prepare_output() -> None:
    """Make sure that no name, however odd, fails to be printed, and that there is something to print to."""
    # Started with a closed descriptor, as by `>&-`: nobody wants to read it.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        # A file name that is no UTF-8 leaves as the bytes that it is; what another encoding lacks, as an escape.
        utf8 = stream.encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
        stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")  # type: ignore[union-attr]


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def discard_output() -> None:
    """Let nothing more reach a closed pipe, not even what is still in a buffer when the interpreter exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def settle_output() -> None:
    """Write what is still in a buffer, or give it up: the interpreter's own attempt would end in a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()


def output_is_closed() -> bool:
    """Whether nobody reads stdout or stderr any more. A broken pipe may as well be a connection to the storage."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)  # errors and hang-ups are reported whatever one asks for
    return bool(poll.poll(0))


def on_terminal(descriptor: int) -> bool:
    """Whether stdout (1) or stderr (2) is a terminal that takes colours."""
    stream = {1: sys.stdout, 2: sys.stderr}[descriptor]
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def printable(text: str, *, keep: str = "") -> str:
    """Return text with control characters escaped: metadata must not move a cursor, nor a file name forge a line."""
    return "".join(
        char if char.isprintable() or char in keep or "\udc80" <= char <= "\udcff" else repr(char)[1:-1]
        for char in text
    )


def emit(text: str) -> None:
    """Write one line of data to stdout."""
    try:
        sys.stdout.write(f"{text}\n")
    except BrokenPipeError:
        raise OutputClosedError from None


def note(text: str) -> None:
    """Write one line to stderr."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise OutputClosedError from None


def emit_document(kind: str, content: dict[str, Any]) -> None:
    """Write a JSON document to stdout. ``docs/cli.md`` describes each kind."""
    # ASCII, so that no terminal or locale can spoil it.
    emit(json.dumps({"format": DOCUMENT_FORMAT, "kind": kind, **content}, indent=2, allow_nan=False))


def emit_rows(rows: Iterable[Row], titles: Sequence[str] = ()) -> None:
    """Write records to stdout: a table on a terminal, else lines of tab-separated fields, without the titles."""
    if not sys.stdout.isatty():
        for row in rows:
            emit("\t".join(printable(_exact(cell)) for cell in row))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=None, pad_edge=False, show_header=bool(titles), header_style="bold")
    for row in rows:
        cells = [
            Text(printable(_friendly(cell)), overflow="fold", justify="right" if isinstance(cell, int) else "left")
            for cell in row
        ]
        while len(table.columns) < len(cells):
            table.add_column()
        table.add_row(*cells)
    console().print(table)


def console(*, width: int | None = None) -> Console:
    """Return a console on stdout that takes text as it is; a closed pipe raises OutputClosedError."""
    from rich.console import Console

    class _Quiet(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise OutputClosedError

    return _Quiet(width=width, markup=False, highlight=False, emoji=False)


def utc_text(moment: datetime) -> str:
    """Return a time as RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _exact(cell: Cell) -> str:
    return utc_text(cell) if isinstance(cell, datetime) else str(cell)


def _friendly(cell: Cell) -> str:
    match cell:
        case datetime():
            return f"{cell.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case Size():
            from rich.filesize import decimal

            return decimal(cell)
        case int():
            return f"{cell:,}"
    return cell
