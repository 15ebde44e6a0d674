"""The progress of an operation on a screen: a bar of rich in a terminal, a bar of HTML in a notebook."""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from typing import Any, Protocol

from metamlflow._looks import bar_of, bytes_text

_PAUSE = 0.1  # seconds between two updates of a notebook


class State(Protocol):
    """The parts of a ``Progress`` that a bar shows."""

    operation: str
    files: int
    bytes: int
    total_files: int | None
    total_bytes: int | None
    reference: str

    @property
    def finishing(self) -> bool:
        """Whether everything was counted."""


class Bar(Protocol):
    """Shows the progress of one operation until it is closed."""

    def show(self, state: Any) -> None:
        """Show a state."""

    def close(self) -> None:
        """Remove the bar, or leave its last state in a notebook."""


def new_bar() -> Bar | None:
    """Return a bar for where this process writes to; None if that is neither a terminal nor a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is not None:
        return _NotebookBar()
    # A dumb terminal cannot erase a bar.
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _TerminalBar()
    return None


def _told(state: State) -> str:
    of_files = f"/{state.total_files:,}" if state.total_files is not None else ""
    of_bytes = f" of {bytes_text(state.total_bytes)}" if state.total_bytes else ""
    what = f"{state.operation} {state.reference}".rstrip()
    told = f"{what}: {state.files:,}{of_files} files, {bytes_text(state.bytes)}{of_bytes}"
    return f"{told}, finishing" if state.finishing else told


def _share(state: State) -> float | None:
    """Return the share that is done, from 0 to 1; None if it is unknown."""
    if state.total_bytes and state.total_bytes >= state.bytes:
        return state.bytes / state.total_bytes
    return None


class _TerminalBar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, Progress, TextColumn

        self._escape = escape
        columns = TextColumn("{task.description}"), BarColumn()
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("", total=None)
        self._bars.start()

    def show(self, state: State) -> None:
        share = _share(state)
        done = {"completed": 0.0, "total": None} if share is None else {"completed": share, "total": 1.0}
        self._bars.update(self._task, description=self._escape(_told(state)), **done)

    def close(self) -> None:
        self._bars.stop()


class _NotebookBar:
    def __init__(self) -> None:
        self._handle = import_module("IPython.display").display(_Html(""), display_id=True)
        self._last: State | None = None
        self._shown_at = 0.0

    def show(self, state: State) -> None:
        self._last = state
        if state.finishing or time.monotonic() - self._shown_at > _PAUSE:
            self._update()

    def close(self) -> None:
        if self._last is not None:
            self._update()

    def _update(self) -> None:
        assert self._last is not None  # noqa: S101 (show sets it first)
        self._shown_at = time.monotonic()
        self._handle.update(_Html(bar_of(_told(self._last), _share(self._last))))


class _Html:
    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<progress>"
