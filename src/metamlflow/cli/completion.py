"""Completions for the shell: names, versions and aliases of a store on this machine.

Buckets are not queried: a Tab must not wait for a network, nor sign requests with the user's credentials.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import typer

from metamlflow.cli.arguments import URI_VARIABLE

if TYPE_CHECKING:
    from metamlflow.client import MetaMLFlowClient

_MOST = 500


def names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names in the store that begin with the typed text."""
    return _found(context, incomplete, _names)


def references(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names that begin with the typed text; after an ``@``, the versions and aliases of the name."""
    return _found(context, incomplete, _versions if "@" in incomplete else _names)


def _found(
    context: typer.Context, incomplete: str, find: Callable[[MetaMLFlowClient, str], Iterable[str]]
) -> list[str]:
    place = context.params.get("store") or os.environ.get(URI_VARIABLE)
    if not place or ("://" in place and not place.startswith("file:")):
        return []
    try:
        from metamlflow.client import MetaMLFlowClient

        client = MetaMLFlowClient(place, storage_options={}, source_options={})
        # The shell reads one completion per line, so a text with a line break must not be offered.
        found = (text for text in find(client, incomplete) if text.startswith(incomplete) and text.isprintable())
        return [text for text, _ in zip(found, range(_MOST), strict=False)]
    except Exception:  # noqa: BLE001 (a shell cannot show an error during completion)
        return []


def _names(client: MetaMLFlowClient, _: str) -> list[str]:
    return client.list_names()


def _versions(client: MetaMLFlowClient, incomplete: str) -> Iterator[str]:
    name = incomplete.partition("@")[0]
    yield f"{name}@latest"
    yield from (f"{name}@{alias}" for alias in client.aliases(name))
    yield from (f"{name}@{version}" for version in client.list_versions(name))
