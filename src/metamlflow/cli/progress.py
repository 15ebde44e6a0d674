"""Progress of an operation, drawn on stderr where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metamlflow.cli.interrupting import Interruption

if TYPE_CHECKING:
    from metamlflow.artifacts import Progress, ProgressCallback


@contextmanager
def shown_progress(description: str, interruption: Interruption) -> Iterator[ProgressCallback]:
    """Yield a callback that draws a bar with files, bytes and rate, where it is seen, and stops the work when told.

    The bar is gone when the block is left, whichever way.
    """
    if not sys.stderr.isatty():
        yield lambda _: interruption.check()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[files]}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(description, total=None, files="")

        def draw(state: Progress) -> None:
            interruption.check()
            of_all = f"/{state.total_files:,}" if state.total_files is not None else ""
            # The size of a stream is not known before its end: its total stays behind what was read.
            known = state.total_bytes is not None and state.total_bytes >= state.bytes
            bars.update(
                bar,
                completed=state.bytes,
                total=state.total_bytes if known else None,
                files=f"{state.files:,}{of_all} files",
            )

        yield draw
