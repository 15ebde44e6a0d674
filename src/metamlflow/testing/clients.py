"""Clients on any backend, so that a test can run the whole library on a backend with faults."""

from __future__ import annotations

from metamlflow.backend import Backend
from metamlflow.client import MetaMLFlowClient
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.store import Store


def client_on(backend: Backend, clock: Clock | None = None) -> MetaMLFlowClient:
    """Return a new client on exactly this backend, without any cached state of the store.

    Args:
        backend: the backend, used as it is, also in forked children; nothing is opened by URL.
        clock: the source of time, waiting and ids; by default the machine's.
    """
    return MetaMLFlowClient._on(Store(backend.url, {}, backend=backend, clock=clock))  # noqa: SLF001 (made for this)
