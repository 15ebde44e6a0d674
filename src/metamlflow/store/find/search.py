"""Search: the versions for which a condition holds; and the catalog as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metamlflow.format.layout import NAMES, hidden_prefix, parse_hidden_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.condition_fields import IN_SEARCH, facts_of
from metamlflow.model.conditions import Condition
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import pages
from metamlflow.store.catalog.store import Store
from metamlflow.store.find.catalog import Catalog
from metamlflow.store.find.columns import SHOWN, arrow
from metamlflow.store.find.masks import Masks, facts_besides
from metamlflow.store.find.refresh import Snapshot
from metamlflow.store.transfer.scheduler import in_parallel

Found = tuple[StoredManifest, tuple[str, ...]]
_MOST_LOOKS = 32  # names, whose hiding records are looked at one by one


def parsed(expression: str) -> Condition:
    """Return a search expression as a condition.

    Raises:
        InvalidInputError: it is malformed; the message shows the place.
    """
    return Condition.parse(expression, "expression", IN_SEARCH)


def search(store: Store, catalog: Catalog, condition: Condition, *, include_hidden: bool) -> list[Found]:
    """Return the live versions for which a condition holds, by name and version, each with its aliases."""

    def looked(snapshot: Snapshot) -> tuple[list[Found], list[str]]:
        rows = _rows(catalog, snapshot, condition)
        manifests = catalog.manifests(snapshot, rows)
        names = snapshot.segments.column("name").take(rows).to_pylist() if rows else []
        return [(one, tuple(snapshot.aliases.get(row, ()))) for row, one in zip(rows, manifests, strict=True)], names

    found, names = catalog.look(looked)
    hidden = set() if include_hidden else hidden_among(store, [ArtifactName(name) for name in dict.fromkeys(names)])
    shown = [one for one in found if not hidden or one[0].manifest.name not in hidden]
    return sorted(shown, key=lambda one: (one[0].manifest.name, one[0].manifest.version))


def _rows(catalog: Catalog, snapshot: Snapshot, condition: Condition) -> list[int]:
    """Return the rows of the live versions for which a condition holds, ascending."""
    masks = Masks(snapshot)
    held = masks.of(condition.root)
    live = snapshot.rows(live=True)
    odd = sorted(row for row in masks.odd if live[row])
    told = {
        row
        for row, loaded in zip(odd, catalog.manifests(snapshot, odd), strict=True)
        if condition.answer({**facts_of(loaded.manifest), **facts_besides(snapshot, row)})
    }
    return [row for row in range(len(held)) if live[row] and (row in told or (held[row] and row not in masks.odd))]


def hidden_among(store: Store, names: Sequence[ArtifactName]) -> set[ArtifactName]:
    """Return those of some names that are hidden from listings: a listing for each of few, else one of all."""

    def is_hidden(name: ArtifactName) -> bool:
        numbers = [parse_hidden_key(info.key) for info in pages(store, hidden_prefix(name), 1)]
        return max((found[1] for found in numbers if found), default=0) % 2 == 1

    if len(names) <= _MOST_LOOKS:
        return {name for name, hidden in zip(names, in_parallel(is_hidden, names), strict=True) if hidden}
    return all_hidden(store)


def all_hidden(store: Store) -> set[ArtifactName]:
    """Return all names that are hidden from listings: one listing."""
    newest: dict[str, int] = {}
    for info in pages(store, NAMES, 1_000):
        if found := parse_hidden_key(info.key):
            name, number = found
            newest[name] = max(number, newest.get(name, 0))
    return {ArtifactName(name) for name, number in newest.items() if number % 2}


def table(store: Store, catalog: Catalog) -> Any:
    """Return the catalog as an Arrow table, by name and version."""
    pa = arrow()
    store.marker()
    hidden = all_hidden(store)
    found = catalog.look(_rows_that_exist)
    names = found["name"].to_pylist()
    found = found.append_column("hidden", pa.array([name in hidden for name in names], pa.bool_()))
    return found.sort_by([("name", "ascending"), ("version", "ascending")]).combine_chunks()


def _rows_that_exist(snapshot: Snapshot) -> Any:
    """Return the versions that exist, with what changes: states, aliases, notes."""
    pa = arrow()
    rows = [row for row, alive in enumerate(snapshot.rows(live=False)) if alive]
    found = snapshot.segments.table(SHOWN).take(pa.array(rows, pa.int64()))
    states, aliases, notes = snapshot.states, snapshot.aliases, snapshot.notes
    columns = {
        "state": pa.array([states.get(row, "live") for row in rows], pa.string()),
        "aliases": pa.array([aliases.get(row, ()) for row in rows], pa.list_(pa.string())),
        "title": pa.array([notes[row]["title"] if row in notes else None for row in rows], pa.string()),
        "description": pa.array([notes[row]["description"] if row in notes else None for row in rows], pa.string()),
        "tags": pa.array(
            [list(notes[row]["tags"].items()) if row in notes else [] for row in rows],
            pa.map_(pa.string(), pa.string()),
        ),
    }
    for name, column in columns.items():
        found = found.append_column(name, column)
    return found
