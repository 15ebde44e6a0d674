"""Which versions a migration copies, and their order: each after the versions that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from metamlflow.errors import MetaMLFlowError
from metamlflow.model.manifests import Manifest
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.survey import NameState, VersionState
from metamlflow.store.transfer.scheduler import in_parallel


@dataclass(frozen=True, slots=True)
class VersionTask:
    """A version to copy, and the versions that must exist before it.

    Attributes:
        id: name and number.
        state: its state in both stores.
        needs: versions to copy before it, if they are copied: the previous version, and its inputs.
        inputs: its inputs, which are among ``needs``.
        before: the previous version, if its bytes are at the destination by then: content that it names is not sent
            again.
        objects: how many of its files and lists of files have content that the previous version does not name; ``size``
            is their bytes. Both are for the progress. For a version with shards they are estimates.
        files: the number of its files.
        problem: why its manifest or its state cannot be read, if so.
    """

    id: VersionId
    state: VersionState
    needs: tuple[VersionId, ...] = ()
    inputs: tuple[VersionId, ...] = ()
    before: int | None = None
    objects: int = 0
    size: int = 0
    files: int = 0
    problem: str | None = None

    @property
    def moves(self) -> bool:
        """Whether its bytes are copied."""
        return self.state.is_live and self.state.is_wanted and not self.state.is_live_there


def planned(
    ends: StorePair,
    states: list[NameState],
    again: Callable[[ArtifactName], NameState | None],
    *,
    every: bool,
) -> list[VersionTask]:
    """Read the manifests to copy, and return them in an order in which each comes after its needs.

    A version whose input was registered after the listings must not be copied without that input. So the input's name
    is looked at ``again``, if it is one of those to copy, or if ``every`` name is.
    """
    plan: dict[VersionId, VersionTask] = {}
    known = {(state.name, number) for state in states for number in state.present}
    looked: set[ArtifactName] = set()
    waiting = [state for state in states if state.conflict is None]
    of_interest = {state.name for state in waiting}
    while waiting:
        due = [
            (state.name, version, before)
            for state in waiting
            for version, before in _with_before(state)
            if (state.name, version.number) not in plan
        ]
        for item in in_parallel(partial(_plan, ends.source), due):
            plan[item.id] = item
        unknown = {need[0] for item in plan.values() for need in item.needs if need not in plan and need not in known}
        newer = [name for name in (unknown if every else unknown & of_interest) if name not in looked]
        looked |= set(newer)
        waiting = [state for name in newer if (state := again(name)) is not None and state.conflict is None]
    return list(_ordered(plan))


def _with_before(state: NameState) -> Iterator[tuple[VersionState, int | None]]:
    """Yield the due versions, each with its previous version if the destination has that one's bytes by then."""
    live = set(state.live_there)
    for version in state.due:  # ascending
        before = version.number - 1
        yield version, before if before in live else None
        if version.is_live and (version.is_wanted or version.is_live_there):
            live.add(version.number)


def _plan(source: Store, due: tuple[ArtifactName, VersionState, int | None]) -> VersionTask:
    name, state, before = due
    needs = ((name, state.number - 1),) if state.number > 1 else ()
    if state.is_erased:
        return VersionTask((name, state.number), state, needs)
    if state.damaged:
        return VersionTask((name, state.number), state, needs, before=before, problem=state.damaged.message)
    try:
        manifest = load_manifest(source, name, state.number, seen=state.info).manifest
        item = VersionTask((name, state.number), state, before=before, files=manifest.files)
        inputs = tuple((used.name, used.version) for used in manifest.inputs)
        known = before_of(source, item)
        objects, size = _expected(manifest, known) if item.moves else (0, 0)
        return replace(item, needs=(*needs, *inputs), inputs=inputs, objects=objects, size=size)
    except MetaMLFlowError as error:
        return VersionTask((name, state.number), state, needs, before=before, problem=error.message)


def before_of(source: Store, item: VersionTask) -> Manifest | None:
    """Return the manifest of the previous version, if the content that it names is not sent again."""
    return load_manifest(source, item.id[0], item.before, seen=item.state.before).manifest if item.before else None


def _expected(manifest: Manifest, known: Manifest | None) -> tuple[int, int]:
    """Return how many files and lists of files have content that the previous version does not name, and its bytes."""
    if manifest.items is not None:
        keys = {held.key for item in (known and known.items) or () for held in item.objects()}
        new = [held for item in manifest.items for held in item.objects() if held.key not in keys]
        return len(new), sum({held.key: held.size for held in new}.values())
    shards = {shard.key for shard in (known and known.shards) or ()}
    lists = [shard for shard in manifest.shards or () if shard.key not in shards]
    files = sum(shard.count for shard in lists)
    share = files / manifest.files if manifest.files else 0
    return files + len(lists), int(manifest.size * share) + sum(shard.size for shard in lists)


def _ordered(plan: dict[VersionId, VersionTask]) -> Iterator[VersionTask]:
    """Yield each version after all its needs; without recursion, because a chain may be long."""
    done: set[VersionId] = set()
    for first in sorted(plan):
        waiting = [first]
        begun: set[VersionId] = set()
        while waiting:
            current = waiting[-1]
            begun.add(current)
            open_needs = [n for n in plan[current].needs if n in plan and n not in done and n not in begun]
            if open_needs and current not in done:
                waiting += open_needs
                continue
            waiting.pop()
            if current not in done:
                # Circular needs, which no store written by this library has, are not waited for.
                yield replace(plan[current], needs=tuple(n for n in plan[current].needs if n in done))
                done.add(current)
