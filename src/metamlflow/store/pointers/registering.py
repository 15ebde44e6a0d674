"""Register data that stays where it is: find it, and collect the requested evidence."""

from __future__ import annotations

import os
import pickle
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

from metamlflow._arguments import absolute_path
from metamlflow.backend.external import ExternalStore, ObjectMeta, is_folder_marker, shown
from metamlflow.backend.tags import entity_tag
from metamlflow.errors import (
    IntegrityError,
    InvalidInputError,
    ObjectNotFoundError,
    SourceNotFoundError,
    StoreNotFoundError,
    UnsupportedSourceError,
)
from metamlflow.model.addresses import SCHEME as ADDRESSES
from metamlflow.model.pointers import DIGEST_HEX, STRENGTHS, Pointed, PointedKind, Pointer, PointerEntry, Strength
from metamlflow.model.uris import WEB, new_uri_problem, plain_scheme, split_uri
from metamlflow.store.catalog.external import entry_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.ingest.sources import SingleFile, Source, SourceItem, SourcePointer, SourceProblems
from metamlflow.store.pointers.evidence import Gather, gather_held, gather_read, unavailable, without_digests
from metamlflow.store.pointers.listings import in_order
from metamlflow.store.pointers.reading import opened_pointer
from metamlflow.store.transfer.spooling import OnBytes, discard, new_spool, spool_errors

_WILDCARD = re.compile(r"[*?\[]")
_SPOOLED_TOGETHER = 512
_IN_MEMORY_BYTES = 8 * 1024 * 1024
_EXPECTED = re.compile("|".join(f"{name}:[0-9a-f]{{{digits}}}" for name, digits in DIGEST_HEX.items()))


def pointer_source(store: Store, pointer: Pointer, known_kind: PointedKind | None = None) -> Source:
    """Return the pointed data as a source; find out whether the URI names an object, a prefix or a glob.

    With ``known_kind`` only that kind is accepted: a place that was registered is examined again as the same kind.

    Raises:
        InvalidInputError: the URI is malformed or may carry a secret, or another argument is invalid.
        SourceNotFoundError: nothing was found there.
    """
    uri = full_uri(pointer.uri)
    if pointer.evidence is not None and pointer.evidence not in STRENGTHS:
        raise InvalidInputError(f"evidence is {', '.join(STRENGTHS)} or None, not {pointer.evidence!r:.80}")
    if pointer.expected is not None and not _EXPECTED.fullmatch(str(pointer.expected)):
        raise InvalidInputError(
            f"expected: {pointer.expected!r:.100} is not a digest",
            hint="Write it as sha256:<64 lower-case hex digits>, or with md5, sha1, crc32c, crc32 or crc64nvme.",
        )
    version = None
    if known_kind is None:
        uri, version = _versioned(uri)
    external, name = store.external.external_of(uri)
    with _of_source(uri):
        if version is not None:
            kind, seen = _looked(external, name, "object", version)
        else:
            kind, seen = _kind_of(external, uri, name) if known_kind is None else _looked(external, name, known_kind)
    if kind == "object":
        assert seen is not None  # noqa: S101 (for the type checker)
        return PointedObject(store, uri, seen, pointer)
    if pointer.expected is not None:
        raise InvalidInputError(
            f"{shown(uri)} is a {kind}, and an expected digest is of one object",
            hint="Give a mapping of logical path to Pointer(uri, expected=…).",
        )
    if kind == "prefix" and not uri.endswith("/"):
        uri += "/"
    if f"{store.url}/".startswith(uri if kind == "prefix" else uri[: len(split_uri(uri)[0]) + 1] + fixed_prefix(name)):
        raise UnsupportedSourceError(
            f"{shown(uri)} contains the store itself ({store.url})",
            hint="Point to data outside of the store: otherwise each version would change the next one.",
            problems=(store.url,),
        )
    return PointedTree(store, Pointed("", uri, kind, pointer.evidence))


@contextmanager
def _of_source(uri: str) -> Iterator[None]:
    """Turn the error for a missing bucket or object into one that names it as the pointed source."""
    try:
        yield
    except (StoreNotFoundError, ObjectNotFoundError) as error:
        raise SourceNotFoundError(error.message, hint=error.hint, source=shown(uri)) from error


def full_uri(uri: Any) -> str:
    """Return a complete URI; a local path becomes absolute.

    Raises:
        InvalidInputError: the URI is malformed, or may carry a secret; then no part of it is shown.
    """
    if isinstance(uri, os.PathLike):
        uri = os.fspath(uri)
    if isinstance(uri, str):
        scheme, separator, rest = uri.partition("://")
        if not separator or scheme.lower() == "file":
            rest = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
            path = rest if separator else uri
            slash = "/" if path.endswith("/") and path.strip("/") else ""
            uri = f"file://{absolute_path(path)}{slash}" if path else ""
        else:
            uri = f"{plain_scheme(scheme)}://{rest}"
    if isinstance(uri, str) and uri.startswith(f"{ADDRESSES}://"):
        raise InvalidInputError(
            f"a pointer cannot lead to another version: {uri}",
            hint="Name it in inputs=, or register_artifact() its address, which stores no content twice in one store.",
        )
    if problem := new_uri_problem(uri):
        secret = "carries" in problem
        raise InvalidInputError(
            f"a pointer's URI cannot be accepted: {problem}",
            hint="A manifest is read by many, so no secret may get into it. Give credentials in the client's "
            "source_options, by scheme or by the beginning of the URI: {'s3://lake/': {'profile': 'lake'}}."
            if secret
            else "Write it as s3://bucket/key, gs://bucket/name, https://host/path or a path of this machine.",
        )
    return cast("str", uri)


def _versioned(uri: str) -> tuple[str, str | None]:
    """Return a URI and the version that it names: ``s3://bucket/key?versionId=…``, the notation of s3fs."""
    name, mark, version = uri.partition("?versionId=")
    return (name, version) if mark and version and uri.startswith("s3://") else (uri, None)


def _looked(
    external: ExternalStore, name: str, kind: PointedKind, version: str | None = None
) -> tuple[PointedKind, ObjectMeta | None]:
    return kind, external.head(name, version) if kind == "object" else None


def _kind_of(external: ExternalStore, uri: str, name: str) -> tuple[PointedKind, ObjectMeta | None]:
    if not name or name.endswith("/"):
        return "prefix", None
    try:
        return "object", external.head(name)  # first, because wildcards are legal characters in names
    except ObjectNotFoundError:
        if _is_glob(uri, name):
            return "glob", None
    if next(iter(external.list_objects(f"{name}/")), None) is None:
        raise SourceNotFoundError(
            f"there is nothing at {shown(uri)}", hint="Check the URI; nothing was registered.", source=shown(uri)
        )
    return "prefix", None


def _is_glob(uri: str, name: str) -> bool:
    # In a web address, a question mark begins the query, and listings do not contain queries.
    return _WILDCARD.search(name) is not None and not (uri.partition("://")[0] in WEB and "?" in name)


class PointedObject(SingleFile):
    """A single object."""

    def __init__(self, store: Store, uri: str, seen: ObjectMeta, pointer: Pointer) -> None:
        root, name = split_uri(uri)
        entry = entry_of(_file_name(root, name), root, seen)
        super().__init__(_item(store, entry, pointer.evidence, looked=True, expected=pointer.expected))
        self.pointed = (Pointed("", uri, "object", pointer.evidence),)


def _file_name(root: str, name: str) -> str:
    if root.partition("://")[0] in WEB:
        name = unquote(urlsplit(f"//host/{name}").path)
    return name.rpartition("/")[2] or "data"


class PointedTree(Source):
    """The objects below a prefix, or those that match a glob. Listed once, however often it is walked."""

    def __init__(self, store: Store, pointed: Pointed) -> None:
        self._store = store
        self._evidence = pointed.evidence
        self._uri = pointed.uri
        self._root, name = split_uri(pointed.uri)
        self._external, _ = store.external.external_of(pointed.uri)
        self._is_web = self._root.partition("://")[0] in WEB
        self._matches: Callable[[str], Any] = lambda _: True
        self._prefix = name
        if pointed.kind == "glob":
            from fsspec.utils import glob_translate

            self._matches = re.compile(glob_translate(name)).match
            self._prefix = fixed_prefix(name)
        self._listing = _Recorded(self._look)
        self.pointed = (pointed,)

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:
        """Yield the objects, in path order."""
        empty = True
        with _of_source(self._uri):
            for seen in self._listing:
                empty = False
                inside = seen.name[len(self._prefix) :]
                entry = entry_of(unquote(inside) if self._is_web else inside, self._root, seen)
                if problem := new_uri_problem(entry.uri):
                    problems.note_path(entry.path, problem)
                else:
                    yield _item(self._store, entry, self._evidence, looked=False)
        if empty:
            raise SourceNotFoundError(
                f"there is nothing at {shown(self._uri)}",
                hint="Check the URI; nothing was registered.",
                source=shown(self._uri),
            )

    def _look(self) -> Iterator[ObjectMeta]:
        listed = self._external.list_objects(self._prefix)
        # Web listings are ordered by escaped names, but paths are not escaped.
        by_path = sorted(listed, key=lambda seen: unquote(seen.name)) if self._is_web else in_order(listed, self._uri)
        for seen in by_path:
            if not is_folder_marker(seen.name, seen.size) and self._matches(seen.name):
                yield seen


def fixed_prefix(glob: str) -> str:
    """Return the folder, with its trailing slash, that contains every match of a glob."""
    fixed = _WILDCARD.split(glob, maxsplit=1)[0]
    return fixed[: fixed.rfind("/") + 1]


class _Recorded:
    """A listing that is taken once, then read again from memory or, if it is long, from a temp file."""

    def __init__(self, listing: Callable[[], Iterator[ObjectMeta]]) -> None:
        self._listing = listing
        self._spool: IO[bytes] | None = None
        self._chunks = 0

    def __iter__(self) -> Iterator[ObjectMeta]:
        if self._spool is None:
            yield from self._record()
            return
        self._spool.seek(0)
        for _ in range(self._chunks):
            for facts in pickle.load(self._spool):  # noqa: S301 (this process wrote the temp file)
                yield ObjectMeta(*facts)

    def _record(self) -> Iterator[ObjectMeta]:
        spool = new_spool(_IN_MEMORY_BYTES)
        found, chunks = self._listing(), 0
        try:
            while chunk := list(islice(found, _SPOOLED_TOGETHER)):
                with spool_errors():
                    facts = [(s.name, s.size, s.version, s.etag, s.modified_ns, s.held) for s in chunk]
                    pickle.dump(facts, spool, pickle.HIGHEST_PROTOCOL)
                chunks += 1
                yield from chunk
            self._spool, self._chunks = spool, chunks  # only now: a caller that stopped early did not see all of it
            weakref.finalize(self, discard, spool)
        finally:
            if self._spool is not spool:
                discard(spool)


def _item(
    store: Store, entry: PointerEntry, evidence: Strength | None, *, looked: bool, expected: str | None = None
) -> SourcePointer:
    """Return an object as an item, with the work that remains for the requested evidence.

    Args:
        store: the store whose external store holds the object.
        entry: the observed state of the object.
        evidence: the requested strength of evidence.
        looked: whether the object itself was examined, rather than only listed.
        expected: the digest that the caller expects.
    """
    gather: Gather | None = None
    if evidence == "stat":
        entry = without_digests(entry)
    elif evidence == "full":
        gather = partial(gather_read, store)
    elif evidence == "checksum" and not entry.evidence.held:
        if looked:
            raise unavailable(entry)
        gather = partial(gather_held, store)
    if expected is not None:
        gather = partial(_gather_expected, store, gather, expected)
    reads = evidence == "full" or expected is not None
    return SourcePointer(entry, gather, reads=reads, opened=partial(opened_pointer, store))


def _gather_expected(
    store: Store, gather: Gather | None, expected: str, entry: PointerEntry, on_bytes: OnBytes
) -> PointerEntry:
    """Collect the requested evidence, and compare the object's digest with the one that the caller expects."""
    name, _, value = expected.partition(":")
    found = gather(entry, on_bytes) if gather else entry
    if name not in found.evidence.digests:
        found = gather_read(store, found, on_bytes, more=(name,))
    actual = found.evidence.digests[name]
    if actual != value:
        raise IntegrityError(
            f"{found.uri} is not what was expected: expected {expected}, got {name}:{actual}; nothing was registered",
            hint="Check that the URI names the right object, and that the object is complete.",
            expected=expected,
            actual=f"{name}:{actual}",
            path=found.path,
            key=found.uri,
        )
    return found


def same_object(known: PointerEntry, found: PointerEntry) -> bool:
    """Whether two looks saw the same object: equal place, version, size and ETag; without an ETag, equal time."""
    if (known.uri, known.version, known.size) != (found.uri, found.version, found.size):
        return False
    if known.version is not None:
        return True
    tags = entity_tag(known.evidence.etag), entity_tag(found.evidence.etag)
    return tags[0] == tags[1] if any(tags) else known.evidence.modified_ns == found.evidence.modified_ns
