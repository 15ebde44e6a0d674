"""Walk the lineage of a version, upstream by inputs and downstream by edges: one read for each version reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from metamlflow.errors import InvalidInputError, MetaMLFlowError, ObjectNotFoundError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.store.catalog.statuses import load_manifest, refuse_erased
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.edges import VersionId, consumers
from metamlflow.store.transfer.scheduler import in_parallel

Direction = Literal["upstream", "downstream", "both"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
MOST_VERSIONS = 100_000


@dataclass
class Subgraph:
    """The versions that a walk reached.

    Attributes:
        start: the first version.
        versions: the versions that were read.
        problems: the versions that are named as an input, or by an edge as made from one, but could not be read, each
            with the reason.
        cut: whether the walk stopped at its limit of versions.
    """

    start: VersionId
    versions: dict[VersionId, StoredManifest] = field(default_factory=dict)
    problems: dict[VersionId, str] = field(default_factory=dict)
    cut: bool = False

    def links(self) -> Iterable[tuple[Input, VersionId]]:
        """Yield each input of each version reached, with the version that has it, if both were reached."""
        for consumer, loaded in sorted(self.versions.items()):
            for used in loaded.manifest.inputs:
                source = used.name, used.version
                if source in self.versions or source in self.problems:
                    yield used, consumer


def walk(store: Store, start: StoredManifest, direction: Direction, depth: int | None = None) -> Subgraph:
    """Walk from a version, at most ``depth`` steps; the versions of one step are read in parallel.

    Raises:
        InvalidInputError: the depth is below 0.
        StoreFormatError: this version of the library cannot read the store.
    """
    if depth is not None and depth < 0:
        raise InvalidInputError(f"a depth is a whole number from 0, or None, not {depth!r:.80}")
    store.marker()  # an artifact may be kept for long, or come from a pickle, and the store have new features
    own = start.manifest.name, start.manifest.version
    walked = Subgraph(own, {own: start})
    if direction != "downstream":
        _walk_up(store, walked, [start], depth)
    if direction != "upstream":
        _walk_down(store, walked, [start], depth)
    return walked


def _walk_up(store: Store, walked: Subgraph, frontier: list[StoredManifest], depth: int | None) -> None:
    steps = 0
    while frontier and (depth is None or steps < depth):
        steps += 1
        wanted = {(used.name, used.version): None for loaded in frontier for used in loaded.manifest.inputs}
        found = _load_all(store, walked, [version for version in wanted if version not in walked.versions])
        frontier = _new(walked, found)


def _load_all(store: Store, walked: Subgraph, wanted: list[VersionId]) -> Mapping[VersionId, StoredManifest]:
    def load(version: VersionId) -> StoredManifest | str:
        try:
            return load_manifest(store, *version)
        except ObjectNotFoundError as error:
            return _why_missing(store, version, error)
        except MetaMLFlowError as error:
            return error.message

    found: dict[VersionId, StoredManifest] = {}
    for version, outcome in zip(wanted, in_parallel(load, wanted), strict=True):
        if isinstance(outcome, str):
            walked.problems[version] = outcome
        else:
            found[version] = outcome
    return found


def _why_missing(store: Store, version: VersionId, error: MetaMLFlowError) -> str:
    try:
        refuse_erased(store, *version)
    except MetaMLFlowError as known:
        return known.message
    return error.message


def _walk_down(store: Store, walked: Subgraph, frontier: list[StoredManifest], depth: int | None) -> None:
    steps = 0
    while frontier and (depth is None or steps < depth):
        steps += 1
        found: dict[VersionId, StoredManifest] = {}
        own = [(item.manifest.name, item.manifest.version) for item in frontier]
        for consumer in consumers(store, own, walked.problems):
            found[consumer.manifest.name, consumer.manifest.version] = consumer
        frontier = _new(
            walked, {version: loaded for version, loaded in found.items() if version not in walked.versions}
        )


def _new(walked: Subgraph, found: Mapping[VersionId, StoredManifest]) -> list[StoredManifest]:
    if len(walked.versions) + len(found) > MOST_VERSIONS:
        walked.cut = True
        return []
    walked.versions |= found
    return list(found.values())
