"""From the errors of file systems and clients to ours: one table, used as a context manager."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    StoreNotFoundError,
    UnsupportedStoreError,
    redact,
)
from metamlflow.redaction import quotes_secret

_BY_ERRNO: dict[int, tuple[type[StorageError], str, str]] = {
    errno.EACCES: (AccessDeniedError, "access is denied", "Check the permissions of the user that runs this."),
    errno.EPERM: (AccessDeniedError, "the operation is not permitted", "Check permissions and file attributes."),
    errno.EROFS: (AccessDeniedError, "the disk is read-only", "Use a place on a disk that can be written."),
    errno.ENOSPC: (
        StorageFullError,
        "no space is left on the disk",
        "Free some space and try again; nothing was lost.",
    ),
    errno.EDQUOT: (StorageFullError, "the disk quota is used up", "Free some space and try again; nothing was lost."),
    errno.EFBIG: (StorageFullError, "the disk takes no file as large", "Use a store on another disk."),
    errno.ENOTSUP: (UnsupportedStoreError, "the disk cannot do this", "Use a store on a disk that has hard links."),
    errno.ENOSYS: (UnsupportedStoreError, "the disk cannot do this", "Use a store on a disk that has hard links."),
    errno.ENAMETOOLONG: (StorageError, "the name is too long for the disk", "Use a shorter name or another disk."),
    errno.ELOOP: (StorageError, "the links lead round in a ring", "Remove or replace them."),
    errno.EMFILE: (StorageUnavailableError, "too many files are open", "Raise the limit (ulimit -n) and try again."),
    errno.ENFILE: (
        StorageUnavailableError,
        "too many files are open on this machine",
        "End other programs, and try again.",
    ),
    errno.ENOMEM: (StorageUnavailableError, "the machine is out of memory", "End other programs, and try again."),
    errno.EIO: (StorageUnavailableError, "the disk failed (input/output error)", "Check the disk, and try again."),
    errno.ESTALE: (StorageUnavailableError, "the network disk was remade below", "Mount it again, and try again."),
}

_WEB_DENIES, _WEB_LACKS = frozenset({401, 403, 407}), frozenset({404, 410})
_WEB_REFUSES = frozenset(range(400, 500)) - {408, 409, 423, 425, 429} | {501, 505, 506, 510}
"""Statuses that stay what they are, however often a web server is asked."""

Table = Callable[[Exception], MetaMLFlowError | None]
"""A backend's own rows: returns an error to raise instead, without key and cause, or None if it knows none."""
_MOST_CAUSES = 10  # chains are short; a loop would be somebody's bug
Row = TypeVar("Row")


def causes_of(error: BaseException, *, implied: bool = False) -> list[BaseException]:
    """Return an error and what caused it, the root last.

    Args:
        error: what was raised.
        implied: whether an error that was merely being handled counts as a cause too.
    """
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and len(found) < _MOST_CAUSES:
        found.append(following)
        following = following.__cause__ or (following.__context__ if implied else None)
    return found


def row_of(error: BaseException, table: Mapping[str, Row]) -> Row | None:
    """Return the row of the error's class, or of the nearest class above it, by name: so clients need no import."""
    return next((table[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in table), None)


def placed(error: MetaMLFlowError, where: str, root: str, *, message: str | None = None) -> MetaMLFlowError:
    """Return an error of the same kind that says where it happened.

    Args:
        error: one of ours, without a place.
        where: the URL of the object concerned.
        root: that of the store, for one that is not there.
        message: in place of the error's own.
    """
    facts: dict[str, Any] = {"uri": root} if isinstance(error, StoreNotFoundError) else {"key": where}
    if isinstance(error, StorageUnavailableError) and error.throttled:
        facts["throttled"] = True
    return type(error)(f"{where}: {error.message if message is None else message}", hint=error.hint, **facts)


@contextmanager
def translated_errors(where: str, *, own: Table | None = None) -> Iterator[None]:
    """Raise what happens inside as an error of :mod:`metamlflow.errors`, the original chained as its cause.

    Args:
        where: the key or URL concerned, for the message.
        own: rows that go before the common ones, and for errors that are no OSError, which the common ones do not know.
    """
    try:
        yield
    except MetaMLFlowError:
        raise
    except Exception as error:
        ours = own(error) if own else None
        if ours is None and isinstance(error, OSError):
            ours = _common(error, redact(where))
        if ours is None:
            raise  # a defect of the code inside, and no failure of the storage
        if not quotes_secret(error):
            raise ours from error
        try:
            raise ours from None
        finally:
            ours.__context__ = None  # whoever shows an error shows where it came from too


def passing_failure(error: OSError, where: str) -> MetaMLFlowError:
    """Return our error for a failure of this machine or its disk that has nothing to do with the file at ``where``."""
    return _common(error, where)


def web_status(error: BaseException) -> int:
    """Return the HTTP status that an error, or the cause of it, came from; 0 where there was no answer."""
    return next((code for e in (error, error.__cause__) if isinstance(code := getattr(e, "status", None), int)), 0)


def web_failure(error: BaseException, where: str) -> MetaMLFlowError | None:
    """Return our error for what fsspec's web client raised; None for what is nothing of it.

    It raises FileNotFoundError for whatever goes wrong, with what went wrong as its cause.
    """
    cause = error.__cause__
    if status := web_status(error):
        return _web_answer(status, where)
    if isinstance(cause or error, TypeError):
        return InvalidInputError(
            f"{where} cannot be opened with these source_options: {redact(str(cause or error))}",
            hint="They are those of fsspec's HTTPFileSystem and of aiohttp's requests, such as {'headers': {…}}.",
        )
    if isinstance(error, FileNotFoundError) and cause is not None and not isinstance(cause, LookupError):
        return StorageUnavailableError(
            f"{where} cannot be reached: {type(cause).__name__}", hint="Check address and network.", key=where
        )
    return None


def _web_answer(status: int, where: str) -> StorageError:
    if status in _WEB_DENIES:
        return AccessDeniedError(
            f"{where}: access is denied (status {status})",
            hint="Give what the server asks for in source_options, such as {'https://host/': {'headers': {…}}}.",
            key=where,
        )
    if status in _WEB_LACKS:
        return ObjectNotFoundError(f"there is no object {where}", key=where)
    if status in _WEB_REFUSES:
        return StorageError(
            f"{where}: the server refuses the request (status {status})", hint="Check the address.", key=where
        )
    return StorageUnavailableError(f"{where}: the server answered {status}", hint="Try again.", key=where)


def _common(error: OSError, where: str) -> MetaMLFlowError:
    if isinstance(error, FileExistsError):
        return AlreadyExistsError(f"{where} exists already", key=where)
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return ObjectNotFoundError(f"there is no object {where}", key=where)
    if isinstance(error, PermissionError) and error.errno is None:
        return AccessDeniedError(f"{where}: access is denied ({error})", key=where)
    if error.errno in _BY_ERRNO:
        kind, what, remedy = _BY_ERRNO[error.errno]
        return kind(f"{where}: {what}", hint=remedy, key=where)
    return StorageUnavailableError(
        f"{where}: the storage failed: {error}", hint="Try again; if it stays, check the disk or network.", key=where
    )
