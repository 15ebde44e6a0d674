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
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TextIO

from metamlflow import redaction
from metamlflow._looks import bytes_text, utc_text

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


def coloured(descriptor: int) -> bool:
    """Whether what goes to stdout (1) or stderr (2) is to have colours, bold letters and the like.

    ``NO_COLOR`` that is not empty means none at all (https://no-color.org), whatever else is set; so does a dumb
    terminal. ``FORCE_COLOR`` and ``CLICOLOR_FORCE`` mean them also in a pipe; ``CLICOLOR=0`` means none.
    """
    told = os.environ.get
    if told("NO_COLOR") or told("TERM") == "dumb":
        return False
    if told("FORCE_COLOR", "0") not in {"", "0"} or told("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return {1: sys.stdout, 2: sys.stderr}[descriptor].isatty() and told("CLICOLOR") != "0"


def printable(text: str, *, keep: str = "") -> str:
    """Return text with control characters escaped; bytes of a file name that is not UTF-8 stay what they are."""
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
    # ASCII, so that no terminal or locale can spoil it.
    emit(json.dumps({"format": DOCUMENT_FORMAT, "kind": kind, **content}, indent=2, allow_nan=False))


def emit_rows(rows: Iterable[Row], titles: Sequence[str] = (), left_out: Sequence[str] = ()) -> None:
    """Write records to stdout: a table on a terminal, else lines of tab-separated fields, without the titles.

    Where a terminal is too narrow, the columns ``left_out`` go, the first of them first, and stderr says so.
    """
    if not sys.stdout.isatty():
        for row in rows:
            emit("\t".join(printable(_exact(cell)) for cell in row))
        return
    from metamlflow.cli.tables import Table, lines_of, terminal_width

    cells = list(rows)
    numbers = {place for row in cells for place, cell in enumerate(row) if isinstance(cell, int)}
    texts = [[printable(_friendly(cell)) for cell in row] for row in cells]
    lines, gone = lines_of(Table(titles, texts, frozenset(numbers), left_out), terminal_width())
    for number, line in enumerate(lines):
        emit(f"\x1b[1m{line}\x1b[0m" if titles and not number and coloured(1) else line)
    if gone:
        note(f"no room for {', '.join(gone)}; a pipe and --json have all")


def console(*, width: int | None = None, error: bool = False) -> Console:
    """Return a console on stdout, or on stderr, that takes text as it is; a closed pipe raises OutputClosedError."""
    from rich.console import Console

    class _Quiet(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise OutputClosedError

    # Without a colour system rich writes no attributes; with its own way to say so it would still write bold ones.
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
