"""The output of commands: data to stdout, everything else to stderr.

On a terminal data is a table; elsewhere it is one record per line, with tab-separated fields, complete and without
decoration, for a pager, ``cut`` and ``awk``. ``--json`` is for programs.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TextIO

from metamlflow import redaction
from metamlflow._looks import bytes_text, utc_text

if TYPE_CHECKING:
    from rich.console import Console

DOCUMENT_FORMAT = 1
"""The format of JSON documents. It rises when a field changes its meaning or is removed, not for new fields."""


class Size(int):
    """A number of bytes, shown to people as kB or MB."""


Cell = str | int | datetime
Row = Sequence[Cell]
_NONE = ("", "-")
"""What stands in a column of numbers where there is none."""


class OutputClosedError(Exception):
    """The reader of our output has stopped, as ``head`` does. This is not a failure and shows no message."""


def prepare_output() -> None:
    """Make sure that every name can be printed, and that stdout and stderr exist."""
    # None if the process was started with a closed descriptor, as by `>&-`.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        # In UTF-8, undecodable bytes of file names are written unchanged; other encodings escape missing characters.
        utf8 = stream.encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
        stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")  # type: ignore[union-attr]


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def discard_output() -> None:
    """Redirect stdout and stderr to nowhere, so that buffers flushed at exit do not reach a closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def settle_output() -> None:
    """Flush stdout, or discard its buffer: a failing flush at the interpreter's exit would show a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()


def output_is_closed() -> bool:
    """Return whether the reader of stdout or stderr has gone; a BrokenPipeError may also come from the storage."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)  # errors and hang-ups are always reported
    return bool(poll.poll(0))


def coloured(descriptor: int) -> bool:
    """Return whether stdout (1) or stderr (2) gets colours and bold text.

    A ``NO_COLOR`` that is not empty (https://no-color.org) and a dumb terminal turn them off, whatever else is set.
    ``FORCE_COLOR`` and ``CLICOLOR_FORCE`` turn them on, also in a pipe; ``CLICOLOR=0`` turns them off.
    """
    told = os.environ.get
    if told("NO_COLOR") or told("TERM") == "dumb":
        return False
    if told("FORCE_COLOR", "0") not in {"", "0"} or told("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return {1: sys.stdout, 2: sys.stderr}[descriptor].isatty() and told("CLICOLOR") != "0"


def printable(text: str, *, keep: str = "") -> str:
    """Return text with control characters escaped; undecodable bytes of file names are unchanged."""
    return redaction.printable(text, keep=keep + redaction.UNDECODED)


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
    # ASCII, so that it does not depend on the terminal or locale.
    emit(json.dumps({"format": DOCUMENT_FORMAT, "kind": kind, **content}, indent=2, allow_nan=False))


def emit_rows(rows: Iterable[Row], titles: Sequence[str] = (), left_out: Sequence[str] = ()) -> None:
    """Write records to stdout: a table on a terminal, else lines of tab-separated fields without titles.

    If the terminal is too narrow, the columns in ``left_out`` are omitted in that order, and stderr says so; as it does
    if a list with such columns is empty.
    """
    if not sys.stdout.isatty():
        for row in rows:
            emit("\t".join(printable(_exact(cell)) for cell in row))
        return
    from metamlflow.cli.tables import Table, lines_of, terminal_width

    cells = list(rows)
    numbers = {place for row in cells for place, cell in enumerate(row) if isinstance(cell, int)}
    numbers -= {
        place for row in cells for place, cell in enumerate(row) if not isinstance(cell, int) and cell not in _NONE
    }
    texts = [[printable(_friendly(cell)) for cell in row] for row in cells]
    lines, gone = lines_of(Table(titles, texts, frozenset(numbers), left_out), terminal_width())
    for number, line in enumerate(lines):
        emit(f"\x1b[1m{line}\x1b[0m" if titles and not number and coloured(1) else line)
    if left_out and not cells:
        note("nothing to list")
    if gone:
        note(f"no room for {', '.join(gone)}; a pipe and --json have all")


def console(*, width: int | None = None, error: bool = False) -> Console:
    """Return a console on stdout or stderr that prints text unchanged; a closed pipe raises OutputClosedError."""
    from rich.console import Console

    class _Quiet(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise OutputClosedError

    # color_system=None removes all attributes; rich's own no_color option would still write bold text.
    system: Literal["auto", "standard"] | None = None
    if coloured(2 if error else 1):
        system = "auto" if (sys.stderr if error else sys.stdout).isatty() else "standard"
    return _Quiet(width=width, markup=False, highlight=False, emoji=False, color_system=system, stderr=error)


def _exact(cell: Cell) -> str:
    return utc_text(cell) if isinstance(cell, datetime) else str(cell)


def _friendly(cell: Cell) -> str:
    match cell:
        case datetime():
            return f"{cell.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case Size():
            return bytes_text(cell)
        case int():
            return f"{cell:,}"
    return cell
