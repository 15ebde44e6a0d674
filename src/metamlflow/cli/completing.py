"""What the shell offers at a Tab: names, versions and aliases of a store on this machine.

A bucket is not asked: a Tab must not wait for a network, nor sign requests with somebody's credentials.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import typer

from metamlflow.cli.arguments import URI_VARIABLE

if TYPE_CHECKING:
    from metamlflow.store.catalog.store import Store

COMPLETION_VARIABLE = "_METAMLFLOW_COMPLETE"
_MOST = 500
_BREAKS = frozenset({"@", ":", "="})  # of what bash takes for the end of a word


def names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names in the store that begin as what was typed."""
    return _found(context, incomplete, _names)


def references(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names that begin as what was typed; behind an ``@``, the versions and aliases of the name."""
    return _found(context, incomplete, _versions if "@" in incomplete else _names)


def _found(context: typer.Context, incomplete: str, find: Callable[[Store, str], Iterable[str]]) -> list[str]:
    place = context.params.get("store") or os.environ.get(URI_VARIABLE)
    if not place or ("://" in place and not place.startswith("file:")):
        return []
    try:
        from metamlflow.client import MetaMLFlowClient

        store = MetaMLFlowClient(place, storage_options={}, source_options={})._store  # noqa: SLF001 (it is asked for less)
        # What a shell is told is one word a line: nothing that a store holds may be more.
        found = (text for text in find(store, incomplete) if text.startswith(incomplete) and text.isprintable())
        return [text for text, _ in zip(found, range(_MOST), strict=False)]
    except Exception:  # noqa: BLE001 (whatever it is, a shell that completes has no place for an error)
        return []


def _names(store: Store, _: str) -> Iterator[str]:
    from metamlflow.store.catalog.versions import list_names

    yield from sorted(list_names(store))


def _versions(store: Store, incomplete: str) -> Iterator[str]:
    from metamlflow.model.names import ArtifactName
    from metamlflow.store.catalog.aliases import aliases_of
    from metamlflow.store.catalog.versions import list_versions

    name = ArtifactName.parse(incomplete.partition("@")[0])
    yield f"{name}@latest"
    yield from (f"{name}@{alias}" for alias in aliases_of(store, name))
    yield from (f"{name}@{status.version}" for status in list_versions(store, name) if status.available)


def answered(arguments: Sequence[str]) -> int:
    """Answer a shell that asks what to offer, or how to ask; return the exit code."""
    from metamlflow.cli.app import app

    broken_off = _rejoin(os.environ) if os.environ.get(COMPLETION_VARIABLE) == "complete_bash" else ""
    told = io.StringIO()
    with redirect_stdout(told):
        try:
            app(list(arguments), prog_name="metamlflow", standalone_mode=False)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    sys.stdout.write("".join(line.removeprefix(broken_off) for line in told.getvalue().splitlines(keepends=True)))
    sys.stdout.flush()
    return code


def _rejoin(environment: MutableMapping[str, str]) -> str:
    """Put words together that bash has taken apart at ``@``, ``:`` and ``=``; return what stays of the last.

    Bash replaces what stands behind the last of these characters, an ``@`` included; so only that is to be offered.
    """
    try:
        words, current = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
    except (KeyError, ValueError):
        return ""
    words += [""] * (current + 1 - len(words))
    joined, apart = words[:1], ""
    for number, word in enumerate(words[1 : current + 1], 1):
        before = words[number - 1] if number > 1 else ""
        if number > 1 and (word in _BREAKS or before in _BREAKS):
            if word != "@" and before != "@":
                apart = joined[-1] + (word if word in _BREAKS else "")
            elif word == "@":
                apart = joined[-1]
            joined[-1] += word
        else:
            apart = ""
            joined.append(word)
    place = len(joined) - 1
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(joined), str(place)
    return apart
