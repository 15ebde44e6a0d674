"""The run that the current code belongs to. Artifacts report the use of their bytes to it, publishes their versions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.store.catalog.store import Store


class Recorder(Protocol):
    """A run under way. Thread-safe; a failure here never fails a job."""

    def is_of(self, store: Store) -> bool:
        """Whether the run is recorded in this store: artifacts of other stores are not its inputs. No request."""

    @property
    def code(self) -> Mapping[str, Any] | None:
        """The known facts about the running code, as JSON values."""

    @property
    def run_id(self) -> str:
        """32 hex digits."""

    @property
    def ended(self) -> bool:
        """Whether the run has ended, so that nothing more is recorded."""

    @property
    def outer(self) -> Recorder | None:
        """The enclosing run, in which this one began."""

    handed_over: bool

    def note_use(self, loaded: StoredManifest, role: str | None = None) -> None:
        """Record that the bytes of a version are used."""

    def note_output(self, loaded: StoredManifest) -> None:
        """Record that a version was registered."""

    def used(self) -> tuple[Input, ...]:
        """The versions used so far, each once, in the order of their first use."""


_current: ContextVar[Recorder | None] = ContextVar("metamlflow_run", default=None)


def current_run(store: Store) -> Recorder | None:
    """Return the run of this thread or task, if it is recorded in this store."""
    run = innermost_run()
    return run if run is not None and run.is_of(store) else None


def note_use(store: Store, loaded_in: Recorder | None, loaded: StoredManifest) -> None:
    """Record the use of a version's bytes in the run that it was loaded in, if any, and in the current run."""
    for run in {id(run): run for run in (loaded_in, current_run(store)) if run is not None}.values():
        run.note_use(loaded)


def innermost_run() -> Recorder | None:
    """Return the run of this thread or task, whatever its store.

    Runs in generators may end in another order than they began, so a run that has ended is skipped.
    """
    run = _current.get()
    while run is not None and run.ended:
        run = run.outer
    return run


@contextmanager
def recorded_in(run: Recorder) -> Iterator[None]:
    """Make ``run`` the current run of the code inside."""
    before = _current.get()
    _current.set(run)
    try:
        yield
    finally:
        # Not by a token: a block that began in one thread or task may end in another, which has its own context.
        if _current.get() is run:
            _current.set(before)


def _note_fork() -> None:
    run = innermost_run()
    if run is not None:
        run.handed_over = True


os.register_at_fork(after_in_parent=_note_fork)
