"""Edges: hints from a version to the versions made from it. An edge counts only if the consumer's manifest agrees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from functools import partial
from threading import Lock

from metamlflow.errors import AlreadyExistsError, IntegrityError, NotFoundError, StoreFormatError
from metamlflow.format.layout import edge_key, edges_prefix, manifest_key, parse_edge_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.runs import EDGE
from metamlflow.model.manifests import Input
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.records import patiently, read_if_listed, with_retries
from metamlflow.store.catalog.statuses import is_listed, list_versions, load_manifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.scheduler import in_parallel

VersionId = tuple[ArtifactName, int]


def write_edges(store: Store, inputs: Iterable[Input], consumer: VersionId) -> None:
    """Create the edges from all inputs to a version that is about to be committed; existing edges are kept.

    Raises:
        StorageError: the storage failed; nothing was registered.
    """

    def create(key: str) -> None:
        try:
            patiently(partial(store.backend.create, key, EDGE), store.clock)
        except AlreadyExistsError:
            return

    keys = {edge_key((used.name, used.version), consumer) for used in inputs}
    for _ in in_parallel(create, sorted(keys)):
        pass


def consumers(
    store: Store, sources: Iterable[VersionId], problems: MutableMapping[VersionId, str]
) -> Iterator[StoredManifest]:
    """Yield the consumers of any of these versions: one listing of each, and one read of each consumer, in parallel.

    An edge of a writer that lost its race is ignored: only the inputs in the consumer's own manifest count. A version
    that an edge names, and whose manifest cannot be read, may be a consumer: ``problems`` gets it with the reason.
    """
    own = set(sources)
    looking, listed = Lock(), dict[ArtifactName, set[int]]()

    def is_there(consumer: VersionId) -> bool:
        """Return whether there is such a version: one listing of each name, however many of its edges lead nowhere.

        Of a version that is in it another one: it may have been erased since, or taken back by its writer.
        """
        name, version = consumer
        with looking:
            if name not in listed:
                listed[name] = {status.version for status in list_versions(store, name) if status.info is not None}
        return version in listed[name] and is_listed(store, name, version)

    def hints(source: VersionId) -> list[VersionId]:
        keys = with_retries(
            lambda: [info.key for info in store.backend.list_objects(edges_prefix(*source))], store.clock
        )
        return [consumer for key in keys if (consumer := parse_edge_key(source, key))]

    def load(consumer: VersionId) -> StoredManifest | None:
        """Return a consumer, or None if there is none, it cannot be read, or it does not have the version as input."""
        try:
            loaded = read_if_listed(
                manifest_key(*consumer),
                partial(load_manifest, store, *consumer),
                partial(is_there, consumer),
                store.clock,
            )
        except NotFoundError:
            return None
        except (IntegrityError, StoreFormatError) as error:
            problems[consumer] = error.message
            return None
        used = loaded is not None and any((item.name, item.version) in own for item in loaded.manifest.inputs)
        return loaded if used else None

    hinted = dict.fromkeys(consumer for found in in_parallel(hints, sorted(own)) for consumer in found)
    yield from (loaded for loaded in in_parallel(load, hinted) if loaded is not None)
