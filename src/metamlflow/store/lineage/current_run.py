"""Which run the code that runs now belongs to. Artifacts ask when their bytes are used, publishes when they end."""

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
    """A run that is under way. Thread-safe; nothing here ever fails a job."""

    def is_of(self, store: Store) -> bool:
        """Whether it is recorded in this store: artifacts of other stores are none of its inputs. Asks nobody."""

    @property
    def code(self) -> Mapping[str, Any] | None:
        """What is known of the code that runs, as JSON values."""

    @property
    def run_id(self) -> str:
        """32 hex digits."""

    @property
    def ended(self) -> bool:
        """Whether it takes in nothing more."""

    @property
    def outer(self) -> Recorder | None:
        """The run that it was begun in."""

    handed_over: bool

    def note_use(self, loaded: StoredManifest, role: str | None = None) -> None:
        """Take in that the bytes of a version are used."""

    def note_output(self, loaded: StoredManifest) -> None:
        """Take in that a version was registered."""

    def used(self) -> tuple[Input, ...]:
        """What was used so far, each version once, in the order of its first use."""


_current: ContextVar[Recorder | None] = ContextVar("metamlflow_run", default=None)


def current_run(store: Store) -> Recorder | None:
    """Return the run of this thread or task, if it is recorded in this store."""
    run = innermost_run()
    return run if run is not None and run.is_of(store) else None


def innermost_run() -> Recorder | None:
    """Return the run of this thread or task, whatever its store.

    Runs in generators may end in another order than they began: one that has ended is passed over.
    """
    run = _current.get()
    while run is not None and run.ended:
        run = run.outer
    return run


@contextmanager
def recorded_in(run: Recorder) -> Iterator[None]:
    """Make ``run`` the one that the code inside belongs to."""
    before = _current.get()
    _current.set(run)
    try:
        yield
    finally:
        # Not by a token: what began in one thread or task may end in another, which has a context of its own.
        if _current.get() is run:
            _current.set(before)


def _note_fork() -> None:
    run = innermost_run()
    if run is not None:
        run.handed_over = True


os.register_at_fork(after_in_parent=_note_fork)
