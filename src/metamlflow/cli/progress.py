"""Progress of an operation, drawn on stderr if it is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from metamlflow.cli.output import console
from metamlflow.cli.signals import Interruption

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from metamlflow.artifacts import Progress

_WIDE, _MIDDLE = 80, 56  # columns of a terminal
# The text shown after everything was counted, by operation.
_AT_THE_END: Mapping[str, str] = MappingProxyType({"register": "committing…", "download": "putting in place…"})


@contextmanager
def shown_progress(description: str, interruption: Interruption) -> Iterator[Callable[[Progress], None]]:
    """Yield a callback that draws a bar with files, bytes and rate on a terminal, and raises if the work must stop.

    When everything was counted, the bar names the remaining step. It disappears when the block ends.
    """
    # A dumb terminal cannot erase a bar.
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _: interruption.check()
        return
    from rich.progress import Progress as Bars

    screen = console(error=True)
    with Bars(*_columns(screen.width), console=screen, transient=True, expand=True) as bars:
        bar = bars.add_task(description, total=None, files="")

        def draw(state: Progress) -> None:
            """Show the progress, or raise KeyboardInterrupt if the work must stop."""
            interruption.check()
            of_all = f"/{state.total_files:,}" if state.total_files is not None else ""
            # The total of a stream lags behind the bytes read, since its size is unknown before its end.
            known = state.total_bytes is not None and state.total_bytes >= state.bytes
            ending = _AT_THE_END.get(state.operation, "finishing…") if state.finishing else None
            bars.update(
                bar,
                description=ending or f"{description} {state.reference}".rstrip(),
                completed=state.bytes,
                total=state.total_bytes if known and not ending else None,
                files=f"{state.files:,}{of_all} files",
            )
            if ending:
                bars.refresh()  # the next step may take a minute, without a further call

        yield draw


def _columns(width: int) -> list[ProgressColumn]:
    """Return the columns of a bar that fit on one line of a terminal ``width`` characters wide."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.table import Column

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=2)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
    ]
    if width >= _MIDDLE:
        columns.append(TextColumn("{task.fields[files]}", table_column=Column(no_wrap=True)))
    columns.append(DownloadColumn(table_column=Column(no_wrap=True)))
    if width >= _WIDE:
        columns += [
            TransferSpeedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        ]
    return columns
