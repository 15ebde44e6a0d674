"""Clients on any backend: how a test puts the whole library on top of a backend with faults."""

from __future__ import annotations

from metamlflow.backend import Backend
from metamlflow.client import MetaMLFlowClient
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.store import Store


def client_on(backend: Backend, clock: Clock | None = None) -> MetaMLFlowClient:
    """Return a new client, which knows nothing of the store yet, on exactly this backend.

    Args:
        backend: is used as it is, also in forked children; nothing is opened by URL.
        clock: where the client gets time, waiting and ids from; by default from the machine.
    """
    return MetaMLFlowClient._on(Store(backend.url, {}, backend=backend, clock=clock))  # noqa: SLF001 (made for this)
