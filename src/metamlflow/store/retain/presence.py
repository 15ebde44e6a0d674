"""Whether the objects that a version names are there: one look at each, in parallel; lists of files are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from metamlflow.backend import ObjectInfo
from metamlflow.errors import IntegrityError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.manifests import StoredManifest
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.scheduler import in_parallel


def stat_or_none(store: Store, key: str) -> ObjectInfo | None:
    """Return what lies at a key; None if nothing does.

    Raises:
        StorageError: the storage does not say.
    """
    try:
        return with_retries(lambda: store.backend.stat(key), store.clock)
    except ObjectNotFoundError:
        return None


def missing_object(
    store: Store,
    loaded: StoredManifest,
    *,
    most: int | None = None,
    sizes: bool = False,
    seen: Callable[[ObjectInfo], object] = lambda _: None,
) -> IntegrityError | None:
    """Return the error for the first object of a version that is missing, or None.

    Args:
        store: the store.
        loaded: the version.
        most: look at the first so many objects only; None: at all.
        sizes: whether an object of another size counts as missing.
        seen: called with each object that is there.
    """
    ref = f"{loaded.manifest.name}@{loaded.manifest.version}"

    def look(wanted: tuple[str, int]) -> IntegrityError | None:
        key, size = wanted
        info = stat_or_none(store, key)
        if info is None:
            return _wrong(ref, key, f"{size} bytes", "missing")
        seen(info)
        return _wrong(ref, key, f"{size} bytes", f"{info.size} bytes") if sizes and info.size != size else None

    try:
        return next((found for found in in_parallel(look, islice(_objects(store, loaded), most)) if found), None)
    except IntegrityError as error:  # a list of files is gone or damaged, and with it the names of the others
        return error
    except StoreFormatError as error:
        return _wrong(ref, error.key, "a list of files", error.message)


def _objects(store: Store, loaded: StoredManifest) -> Iterator[tuple[str, int]]:
    yield from ((shard.key, shard.size) for shard in loaded.manifest.shards or ())
    for entry in Entries(store, loaded.manifest, as_registered=True):
        yield from ((held.key, held.size) for held in entry.objects())


def _wrong(ref: str, key: str, expected: str, actual: str) -> IntegrityError:
    return IntegrityError(
        f"{ref} is damaged: {key} is {actual}",
        hint="`metamlflow verify` names all that is damaged, and `metamlflow repair` puts it back from a copy.",
        expected=expected,
        actual=actual,
        key=key,
    )
