"""Tools to test a backend, and to run tests of a store on; no product code imports this package.

* :class:`BackendSuite` — the conformance suite: subclass it with a ``backend`` fixture, see ``docs/backends.md``.
* :class:`MemoryBackend` — the reference model of the seam, without disk or network.
* :class:`FaultyBackend` — any backend, with the faults that a plan of :class:`Fault` values names.
* :func:`blob_of` — content in memory as a blob that can be put.
* :func:`client_on` — a client on top of any of these backends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metamlflow.store.catalog.clock import Clock
from metamlflow.testing.blobs import blob_of
from metamlflow.testing.clients import client_on
from metamlflow.testing.faults import (
    Crash,
    Crashed,
    FailBefore,
    FalseConflict,
    Fault,
    FlippedBit,
    Late,
    LostReply,
    Surroundings,
    Truncated,
    kill_process,
    simulated_crash,
)
from metamlflow.testing.faulty import Call, FaultyBackend
from metamlflow.testing.memory import MemoryBackend, MemoryBucket, StoredObject

if TYPE_CHECKING:
    from metamlflow.testing.suite import BackendSuite

__all__ = [
    "BackendSuite",
    "Call",
    "Clock",
    "Crash",
    "Crashed",
    "FailBefore",
    "FalseConflict",
    "Fault",
    "FaultyBackend",
    "FlippedBit",
    "Late",
    "LostReply",
    "MemoryBackend",
    "MemoryBucket",
    "StoredObject",
    "Surroundings",
    "Truncated",
    "blob_of",
    "client_on",
    "kill_process",
    "simulated_crash",
]


def __getattr__(name: str) -> Any:
    """Import the suite, and pytest with it, on first use: child processes of race and crash tests need neither."""
    if name == "BackendSuite":
        from metamlflow.testing.suite import BackendSuite

        return BackendSuite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
