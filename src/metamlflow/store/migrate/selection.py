"""Which names a migration copies, and which versions with their bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from metamlflow.errors import InvalidInputError
from metamlflow.model.names import LATEST, ArtifactName, Reference
from metamlflow.store.catalog.history import names_in_use
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import load_reference, not_found

Versions = int | str | Collection[int | str] | Mapping[str, Any]
"""Which versions: a number or ``latest`` for every name, references such as ``features@2``, several of these, or a
mapping of names to these."""


class Selection:
    """The versions that are copied with their bytes.

    Raises:
        InvalidInputError: the selection is malformed.
        ArtifactNotFoundError: the source does not have one of the versions.
    """

    def __init__(self, source: Store, versions: Versions | None) -> None:
        self._everything = versions is None
        self.selects = self._everything
        self._of_all: set[int | str] = set()
        self._of: dict[ArtifactName, set[int | str]] = {}
        for name, version in _flat(versions):
            if name is None:
                self._of_all.add(version)
                continue
            reference = Reference.parse(name, version)
            found: int | str = reference.version
            if found != LATEST:  # resolves an alias; an unknown version fails here, before anything is copied
                found = load_reference(source, reference).manifest.version
            self._of.setdefault(reference.name, set()).add(found)

    def of(self, name: ArtifactName, live: Collection[int]) -> Collection[int]:
        """Return the numbers of a name's versions to copy with their bytes, among those whose bytes are present."""
        if self._everything:
            return live
        wanted = self._of_all | self._of.get(name, set())
        numbers = {version for version in wanted if isinstance(version, int)}
        found = (numbers | ({max(live)} if LATEST in wanted and live else set())) & set(live)
        self.selects = self.selects or bool(found)
        return found


def _flat(versions: Any) -> Iterator[tuple[str | None, int | str]]:
    """Yield name and version of each selected item; None as the name means every name."""
    if versions is None:
        return
    if isinstance(versions, Mapping):
        for name, of_name in versions.items():
            for version in _several(of_name):
                yield name, version
        return
    for item in _several(versions):
        if isinstance(item, str) and "@" in item:
            reference = Reference.parse(item)
            yield str(reference.name), reference.version
        elif item == LATEST or (isinstance(item, int) and not isinstance(item, bool) and item > 0):
            yield None, item
        else:
            raise InvalidInputError(
                f"versions: {item!r:.80} selects no versions",
                hint="Give numbers, 'latest', or references such as 'features@2' and 'features@latest'.",
            )


def _several(value: Any) -> Iterable[Any]:
    if isinstance(value, int | str) or value is None:
        return [value]
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise InvalidInputError(
            f"versions: {value!r:.80} selects no versions",
            hint="Give numbers, 'latest', or references such as 'features@2'.",
        )
    return value


def wanted_names(source: Store, names: Iterable[str]) -> list[ArtifactName]:
    """Return the selected names.

    Raises:
        ArtifactNotFoundError: one of them does not exist.
    """
    given: Any = [names] if isinstance(names, str) else names
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise InvalidInputError(f"{names!r:.80} is not a list of names", hint="Give a list of names of artifacts.")
    wanted = sorted({ArtifactName.parse(name) for name in given})
    known = set(names_in_use(source))
    for name in wanted:
        if name not in known:
            raise not_found(source, name, None)
    return wanted
