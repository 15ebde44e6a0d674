"""Where data lies that is only pointed to: looking at objects without reading them, and reading just what was seen.

An external store is opened for the root of a URI (``s3://bucket``, ``gs://bucket``, ``file://``, ``https://host``) and
names its objects by what follows. A scheme's own external store comes through the entry-point group
``metamlflow.external``; every other scheme of fsspec is served by a generic one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from metamlflow.backend.tags import entity_tag
from metamlflow.errors import PointerDriftError, PointerPolicyError, redact
from metamlflow.redaction import printable

if TYPE_CHECKING:
    from typing_extensions import Buffer


def _told(name: str, value: int | str | None) -> str:
    """One thing that is known of an object, for people: a time as a time, for they compare it with what `ls` shows."""
    if name == "size":
        return f"{value} bytes"
    if name == "modified_ns" and isinstance(value, int):
        seconds, nanoseconds = divmod(value, 10**9)
        with suppress(OverflowError, OSError, ValueError):
            return f"modified {datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
    return f"{name.removesuffix('_ns')} {'none' if value is None else value}"


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What a look at an object tells, without reading it.

    Attributes:
        name: of the object, below the external store's root.
        size: in bytes.
        version: version id or generation, if reads can be made to go to it; never S3's ``null``.
        etag: the server's tag of the content, where there is one.
        modified_ns: when it was written, in nanoseconds since 1970, UTC, where that is known.
        held: digests that the server holds, by name, in hex; ``<name>-composite`` for one over the parts of an upload.
        current: whether it is what the name stands for now; else an older version that is kept.
    """

    name: str
    size: int
    version: str | None = None
    etag: str | None = None
    modified_ns: int | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    current: bool = True

    def difference(self, found: ObjectMeta) -> tuple[str, str] | None:
        """Return what was expected and what was ``found`` instead, or None if nothing tells them apart.

        Where a version is known it alone decides what lies there; a time of writing counts only where there is no tag.
        """
        for name in ("size", "version", "etag", "modified_ns"):
            expected, actual = getattr(self, name), getattr(found, name)
            if name == "modified_ns" and self.etag is not None:
                break
            if name == "etag" and entity_tag(expected) == entity_tag(actual):
                continue
            if expected is not None and actual != expected:
                return _told(name, expected), _told(name, actual)
        return None


def is_folder_marker(name: str, size: int | None) -> bool:
    """Whether an object stands for a folder and is no data: consoles and Hadoop make such empty ones."""
    return size == 0 and name.endswith(("/", "_$folder$"))


class ExternalStore(Protocol):
    """A place outside of the store. Every method may be called from several threads at once; it is picklable.

    Failures are errors of :mod:`metamlflow.errors`, as a backend's are: ``ObjectNotFoundError`` for a missing object.
    Opening an external store touches no network.
    """

    def head(self, name: str, version: str | None = None) -> ObjectMeta:
        """Return what is known of an object as it is now, or of one version of it, with the digests that are held."""

    def list_objects(self, prefix: str, *, after: str = "", older: bool = False) -> Iterator[ObjectMeta]:
        """Yield the objects whose names begin with ``prefix``, in the order of the names' bytes; complete, and lazy.

        Args:
            prefix: empty, or ending in a slash where the external store is a file system.
            after: only names greater than this one.
            older: also versions that are not current, each name's newest first.
        """

    def read(self, seen: ObjectMeta, start: int, end: int) -> Buffer:
        """Return the bytes from ``start`` to before ``end`` of just the object that was seen; one request at best.

        Raises:
            PointerDriftError: the object is another now, or gone.
        """


class Bounds(Protocol):
    """How far an external store may be led elsewhere: by a redirect, or by what a name resolves to. Picklable."""

    def check(self, uri: str) -> None:
        """Let a URI pass, or raise ``PointerPolicyError``. Of a host's name it cannot tell where that leads."""

    def names_host(self, uri: str) -> bool:
        """Whether the user allowed this web address by its host, so that it may lead to a private address too."""

    def is_at_home(self, uri: str) -> bool:
        """Whether the external store's options were given for this URI; to any other nothing of them may go."""

    def refusal(self, uri: str, why: str) -> PointerPolicyError:
        """Return the error for a URI that may not be opened."""


@runtime_checkable
class Bounded(Protocol):
    """An external store that may be led elsewhere."""

    def bound(self, bounds: Bounds) -> None:
        """Keep within these bounds from now on. Called once, before the first look."""


LakeFactory = Callable[[str, Mapping[str, Any]], ExternalStore]
"""What an entry point names: takes the root and the user's fsspec options, returns the lake."""


def shown(url: str) -> str:
    """Return a pointer's URI for a message: what may be a query of the web is left out of it.

    In the name of an object or a file a question mark is a letter, and a URI with a secret was never accepted.
    """
    return redact(url) if url.startswith(("http://", "https://")) else printable(url)


def drift_error(url: str, seen: ObjectMeta, found: ObjectMeta | str | None) -> PointerDriftError:
    """Return the error for an object that is not what was seen.

    Args:
        url: of the object.
        seen: what was expected.
        found: what is there now; a text if that is not an object, None if nothing is there.
    """
    if found is None or isinstance(found, str):
        expected, actual = _known(seen), found or "missing"
    else:
        expected, actual = seen.difference(found) or (_known(seen), "another object, whose facts are the same")
    where = shown(url)
    return PointerDriftError(
        f"{where} is not what was registered: expected {expected}, found {actual}",
        hint="None of it was used. `refresh` registers what is there now as the next version; to have the old bytes, "
        "restore them at this place.",
        expected=expected,
        actual=actual,
        key=where,
    )


def _known(seen: ObjectMeta) -> str:
    for name in ("version", "etag"):
        if value := getattr(seen, name):
            return f"{name} {value}"
    return f"{seen.size} bytes"
