"""The client: where a session with a store begins."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, cast

from metamlflow.artifacts import Artifact, Session
from metamlflow.errors import (
    ArtifactNotFoundError,
    ArtifactPrunedError,
    DamagedRecordWarning,
    InvalidInputError,
    StoreFormatError,
)
from metamlflow.format.manifests import artifact_type_problem
from metamlflow.model.metadata import encode_mapping
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.aliases import set_alias
from metamlflow.store.cache import FileCache
from metamlflow.store.cache_leases import parse_size
from metamlflow.store.opening import Store
from metamlflow.store.progress import ProgressCallback
from metamlflow.store.publishing import Draft, publish
from metamlflow.store.sources import source_of
from metamlflow.store.transfer import in_parallel
from metamlflow.store.versions import (
    Loaded,
    list_names,
    list_versions,
    load_manifest,
    load_reference,
    not_found,
)

__all__ = ["MetaMLFlowClient"]

URI_VARIABLE = "METAMLFLOW_STORAGE_URI"
OPTIONS_VARIABLE = "METAMLFLOW_STORAGE_OPTIONS"
_MAX_KEY_CHARACTERS = 1000


class MetaMLFlowClient:
    """A store of artifacts, kept in nothing but a folder or a bucket.

    Making a client touches no network and creates nothing; the first registration creates the store. Thread-safe and
    picklable (credentials given in ``storage_options`` travel along), and rebuilt in a forked child.

    Args:
        storage_uri: ``/abs/dir``, ``file://./store``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, or the scheme of
            any installed backend. A relative path is resolved now, once. Default: ``METAMLFLOW_STORAGE_URI``.
        storage_options: options of the storage as its fsspec file system takes them. Default:
            ``METAMLFLOW_STORAGE_OPTIONS``, a JSON object; a local store takes none.
        cache_dir: where :meth:`Artifact.local_path` keeps copies; default ``METAMLFLOW_CACHE_DIR`` or the user's cache.
        cache_size: how large that may grow, in bytes or as a text such as ``10GB``; default ``METAMLFLOW_CACHE_SIZE``
            or 10 GiB.

    Raises:
        InvalidInputError: the URI is missing or malformed, carries a secret, or no backend handles its scheme.
    """

    def __init__(
        self,
        storage_uri: str | os.PathLike[str] | None = None,
        *,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_size: int | str | None = None,
    ) -> None:
        uri = storage_uri if storage_uri is not None else os.environ.get(URI_VARIABLE)
        if uri is not None and not isinstance(uri, str | os.PathLike):
            raise InvalidInputError(f"a store is named by a text or a path, not {type(uri).__name__}")
        if storage_options is not None and not isinstance(storage_options, Mapping):
            raise InvalidInputError(f"storage_options is a mapping, not {type(storage_options).__name__}")
        if not uri:
            raise InvalidInputError(
                "no store was named", hint=f"Give storage_uri, such as 'file://./store', or set {URI_VARIABLE}."
            )
        url = _resolve(os.fspath(uri))
        if storage_options is None:
            # A local folder has no options: those in the environment are meant for a bucket.
            storage_options = {} if url.startswith("file://") else _options_from_environment()
        cache = FileCache(Path(cache_dir) if cache_dir is not None else None, _bytes(cache_size))
        self._session = Session(Store(url, storage_options), cache)

    @classmethod
    def _on(cls, store: Store) -> Self:
        """Return a client on a store that was made otherwise; for metamlflow.testing."""
        client = cls.__new__(cls)
        client._session = Session(store, FileCache())  # noqa: SLF001 (its own constructor)
        return client

    @property
    def storage_uri(self) -> str:
        """Where the store is, as a URL."""
        return self._store.url

    @property
    def _store(self) -> Store:
        return self._session.store

    def __repr__(self) -> str:
        return f"<MetaMLFlowClient {self.storage_uri}>"

    # --- writing ------------------------------------------------------------------------------------------------------

    def create_store(self, *, grace: timedelta | None = None) -> None:
        """Create the store now rather than with the first registration. If it exists, nothing happens.

        Args:
            grace: how long bytes that nothing names are kept before they may be collected; a constant of the store,
                by default 7 days. A publish that takes more than three eighths of it checks its blobs again.

        Raises:
            StoreFormatError: the place holds something that is no store.
            ConflictError: the store exists with another grace.
        """
        _check_grace(grace)
        self._store.writable_marker(grace=grace)

    def register_artifact(
        self,
        name: str,
        path: Any,
        artifact_type: str = "file",
        metadata: Mapping[str, Any] | None = None,
        *,
        if_unchanged: Literal["new_version", "reuse"] = "new_version",
        idempotency_key: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Artifact:
        """Store content as the next version of ``name``; return that version.

        The version exists, whole and for good, when this returns; until then nobody sees any of it. However many
        processes register under one name at once, each gets a number of its own: 1, 2, 3, …

        Args:
            name: such as ``fraud/features``.
            path: what to store: a file, a folder, an fsspec URL, bytes, a binary file object, a list of paths (stored
                under their names), or a mapping of logical path to any of these.
            artifact_type: a label: ``file``, ``dataset``, ``model``, or your own.
            metadata: JSON-like values, copied at once. ``docs/metadata.md`` lists what else is taken, and how.
            if_unchanged: ``"reuse"`` returns the newest version if content, type and metadata are the same.
            idempotency_key: any text that names this registration, such as a job's id. The first registration under a
                key wins: a retry returns the same version, and its content is not looked at.
            progress: called with a :class:`~metamlflow.artifacts.Progress` as files and bytes are done.

        Raises:
            InvalidNameError, InvalidPathError, InvalidMetadataError, UnsupportedSourceError: an argument cannot be
                accepted; nothing was written.
            SourceNotFoundError: there is nothing at ``path``.
            SourceChangedError: a file changed while it was read; nothing was registered.
            StoreFormatError: the place holds something that is no store, or a newer one.
            OutcomeUnknownError: the storage did not tell whether the version was committed.
            StorageError: the storage failed; nothing was registered, and a retry finishes the work.
        """
        parsed = ArtifactName.parse(name)
        if if_unchanged not in {"new_version", "reuse"}:
            raise InvalidInputError(f"if_unchanged is 'new_version' or 'reuse', not {if_unchanged!r:.80}")
        draft = Draft(
            name=parsed,
            # Before anything is read: a dict that the caller goes on changing must not change what is registered.
            metadata=encode_mapping(metadata),
            source=source_of(path, parsed.rpartition("/")[2], store_url=self._store.url),
            artifact_type=_checked_type(artifact_type),
            reuse_unchanged=if_unchanged == "reuse",
            idempotency_key=_checked_key(idempotency_key),
        )
        return Artifact(self._session, publish(self._store, draft, progress))

    def set_alias(self, name: str, alias: str, version: int | str | None) -> None:
        """Make ``alias`` stand for a version of ``name``: ``get_artifact(name, alias)`` returns that one from now on.

        Args:
            name: the artifact's name.
            alias: one segment of letters, digits, ``.``, ``_`` and ``-``, such as ``production``.
            version: a number, ``"latest"`` (as it is now) or another alias; None removes the alias.

        Raises:
            ArtifactNotFoundError: there is no such version.
            InvalidNameError: the alias is not well formed.
        """
        set_alias(
            self._store, Reference.parse(name, alias), None if version is None else Reference.parse(name, version)
        )

    # --- reading ------------------------------------------------------------------------------------------------------

    def get_artifact(self, name: str, version: int | str = "latest") -> Artifact:
        """Return one version.

        Args:
            name: the name, or name and version in one: ``"features@2"``.
            version: a number, ``"latest"`` (the highest whose bytes are there), or an alias.

        Raises:
            ArtifactNotFoundError: no such name or version; the error says which there are.
            ArtifactPrunedError: the version's bytes were given up.
            StoreNotFoundError: there is no store.
        """
        store, reference = self._store, Reference.parse(name, version)
        if store.is_open:
            return Artifact(self._session, load_reference(store, reference))
        return Artifact(self._session, store.meanwhile(lambda: load_reference(store, reference), store.marker))

    def list_artifacts(self, name: str | None = None, *, artifact_type: str | None = None) -> list[Artifact]:
        """Return the latest version of each name, in the order of the names; or all versions of one name, ascending.

        Versions whose bytes were given up are left out; one whose record is damaged is left out with a
        :class:`DamagedRecordWarning`.

        Args:
            name: list the versions of this name.
            artifact_type: only artifacts of this type.

        Raises:
            ArtifactNotFoundError: there is no such name.
            StoreNotFoundError: there is no store.
        """
        parsed = None if name is None else ArtifactName.parse(name)
        self._store.marker()
        found = self._latest_of_each() if parsed is None else self._versions(parsed)
        return [
            Artifact(self._session, loaded)
            for loaded in found
            if artifact_type is None or loaded.manifest.artifact_type == artifact_type
        ]

    def _versions(self, name: ArtifactName) -> list[Loaded]:
        statuses = list(list_versions(self._store, name))
        if not statuses:
            raise not_found(self._store, name, None)
        numbers = [status.version for status in reversed(statuses) if status.available]
        found = in_parallel(_or_error(lambda number: load_manifest(self._store, name, number)), numbers)
        return _readable(found)

    def _latest_of_each(self) -> list[Loaded]:
        def latest(name: ArtifactName) -> Loaded | None:
            try:
                return load_reference(self._store, Reference(name))
            except (ArtifactNotFoundError, ArtifactPrunedError):
                return None  # named, and never committed or given up since

        return _readable(in_parallel(_or_error(latest), sorted(list_names(self._store))))


def _or_error(load: Callable[[Any], Loaded | None]) -> Callable[[Any], Loaded | StoreFormatError | None]:
    """Return ``load`` with a damaged record as its result: it must not hide those beside it."""

    def loaded_or_error(what: Any) -> Loaded | StoreFormatError | None:
        try:
            return load(what)
        except StoreFormatError as error:
            return error

    return loaded_or_error


def _readable(found: Iterable[Loaded | StoreFormatError | None]) -> list[Loaded]:
    readable = []
    for item in found:
        if isinstance(item, StoreFormatError):
            warnings.warn(f"left out of the list: {item}", DamagedRecordWarning, stacklevel=4)
        elif item is not None:
            readable.append(item)
    return readable


def _bytes(size: int | str | None) -> int | None:
    return parse_size(size) if isinstance(size, str) else size


def _check_grace(grace: object) -> None:
    if grace is None:
        return
    if not isinstance(grace, timedelta) or not timedelta(minutes=1) <= grace <= timedelta(days=3650):
        raise InvalidInputError(f"a grace is a timedelta between a minute and ten years, not {grace!r:.80}")


def _checked_type(value: object) -> str:
    if not isinstance(value, str) or artifact_type_problem(value):
        raise InvalidInputError(
            f"{value!r:.80} is no artifact type", hint="A type is up to 100 letters, digits, '.', '_', '/' and '-'."
        )
    return value


def _checked_key(key: object) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidInputError(
            f"an idempotency key is a text of 1 to {_MAX_KEY_CHARACTERS} characters, not {key!r:.80}"
        )
    return key


def _options_from_environment() -> Mapping[str, Any]:
    text = os.environ.get(OPTIONS_VARIABLE)
    if not text:
        return {}
    try:
        options = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{OPTIONS_VARIABLE} is not valid JSON: {error}") from error  # its value may be secret
    if not isinstance(options, dict):
        raise InvalidInputError(f"{OPTIONS_VARIABLE} is not a JSON object")
    return cast("dict[str, Any]", options)


def _may_carry_secret(rest: str) -> bool:
    place = rest.partition("/")[0]
    _, colon, port = place.rpartition(":")
    is_port = port.isdigit() and "@" not in rest
    return "@" in place or "?" in rest or "#" in rest or (bool(colon) and not is_port and not place.endswith("]"))


def _resolve(uri: str) -> str:
    """Return a URI with a scheme and, for a local store, an absolute path."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() == "file":
        path = rest if separator else uri.removeprefix("file:")
        if separator and path.startswith("localhost/"):
            path = path.removeprefix("localhost")
        if not path or "\0" in path:
            raise InvalidInputError(f"{uri!r} names no folder", hint="Give a path, such as file://./store.")
        return f"file://{os.path.abspath(os.path.expanduser(path))}"  # noqa: PTH100, PTH111 (keeps links unresolved)
    if _may_carry_secret(rest):
        # Not even redacted: a secret key with a slash in it does not stand where user info does.
        raise InvalidInputError(
            f"the {scheme}:// URI of the store carries user info, a query or a fragment",
            hint="Give credentials in storage_options or the environment; the URI is shown in logs and errors.",
        )
    if not rest.strip("/"):
        raise InvalidInputError(f"{uri!r} names no place", hint="Give a bucket, such as s3://bucket/prefix.")
    return f"{scheme.lower()}://{rest.rstrip('/')}"
