"""Delete just the objects that were seen, on any backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from metamlflow.backend.seam import Backend, DeleteFailure, DeletesSeen, ObjectInfo
from metamlflow.backend.tags import bare_tag
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import (
    ConflictError,
    MetaMLFlowError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageUnavailableError,
)

LOOKS_AT_A_TIME = 32
_SECOND = timedelta(seconds=1)  # some answers tell the time of writing in whole seconds, others in parts of one


def delete_seen(backend: Backend, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
    """Delete objects, each only if it is the one of ``infos`` still; return those that were not deleted.

    :class:`~metamlflow.backend.seam.DeletesSeen` has the promises. Where the backend has no such call, each object is
    looked at immediately before it is deleted by its key.
    """
    try:
        return backend.delete_seen(infos) if isinstance(backend, DeletesSeen) else _delete_after_a_look(backend, infos)
    except MetaMLFlowError as error:
        return [DeleteFailure(info.key, told_once(info.key, error)) for info in infos]


def _delete_after_a_look(backend: Backend, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
    same, failures = looked_again(backend.stat, infos)
    if same:
        failures += [DeleteFailure(f.key, told_once(f.key, f.error)) for f in backend.delete([i.key for i in same])]
    return failures


def looked_again(
    stat: Callable[[str], ObjectInfo], infos: Sequence[ObjectInfo], *, at_a_time: int = LOOKS_AT_A_TIME
) -> tuple[list[ObjectInfo], list[DeleteFailure]]:
    """Look at objects again; return those that are the same still, as they are now, and why the others are not."""

    def look(info: ObjectInfo) -> ObjectInfo | DeleteFailure:
        try:
            now = stat(info.key)
        except MetaMLFlowError as error:  # a look changes nothing, so its failure is never unclear
            return DeleteFailure(info.key, error)
        return now if is_same(info, now) else DeleteFailure(info.key, another(info.key))

    if len(infos) == 1:
        found = [look(infos[0])]
    else:
        with ThreadPool(at_a_time, "metamlflow-look") as pool:
            found = list(pool.map(look, infos))
    same = [each for each in found if isinstance(each, ObjectInfo)]
    return same, [each for each in found if isinstance(each, DeleteFailure)]


def is_same(seen: ObjectInfo, now: ObjectInfo) -> bool:
    """Whether two looks at a key saw one object. The same content put again has another time of writing."""
    if seen.size != now.size or abs(now.modified - seen.modified) >= _SECOND:
        return False
    pairs = ((bare_tag(seen.etag), bare_tag(now.etag)), (seen.version, now.version))
    return all(not before or not after or before == after for before, after in pairs)


def another(key: str) -> ConflictError:
    """Return the error for an object that is not the one that was seen."""
    return ConflictError(f"{key}: another object is in its place since it was looked at, and was left alone", key=key)


def told_once(key: str, error: Exception) -> Exception:
    """Return the error of a deletion that is not made again: whether an unavailable storage has applied it is open."""
    if isinstance(error, StorageUnavailableError) and not error.throttled:
        unclear = OutcomeUnknownError(
            f"{key}: it is not known whether it was deleted, or will be: {error.message}", key=key, record_id=""
        )
        unclear.__cause__ = error
        return unclear
    return error


def gone(key: str) -> ObjectNotFoundError:
    """Return the error for an object that was gone already."""
    return ObjectNotFoundError(f"{key}: it was gone already", key=key)
