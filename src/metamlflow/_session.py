"""The state that the artifacts of a client share, and the checks of a client's arguments."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from metamlflow._arguments import absolute_path, blame, blame_by_names, blamed_on, parse_size
from metamlflow.backend.registry import installed_schemes
from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest, artifact_type_problem
from metamlflow.model.manifests import Input
from metamlflow.model.names import Reference
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.pointer_policy import VARIABLE as POLICY_VARIABLE
from metamlflow.store.catalog.pointer_policy import PointerPolicy
from metamlflow.store.catalog.source_options import check_source_options
from metamlflow.store.catalog.statuses import refuse_erased
from metamlflow.store.catalog.store import Store
from metamlflow.store.lineage.inputs import load_used

URI_VARIABLE = "METAMLFLOW_STORAGE_URI"
OPTIONS_VARIABLE = "METAMLFLOW_STORAGE_OPTIONS"
EVENTS_VARIABLE = "METAMLFLOW_OPENLINEAGE"
SOURCES_VARIABLE = "METAMLFLOW_SOURCE_OPTIONS"

_MAX_KEY_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """The state that the artifacts of one client share."""

    store: Store
    cache: FileCache
    events: str | None = None
    """The path or URL that OpenLineage events of runs are sent to."""


@dataclass(frozen=True, slots=True)
class _Given:
    """The argument or environment variable that each setting came from, to be named in error messages."""

    uri: str
    options: str
    sources: str
    policy: str


def opened_store(
    storage_uri: object,
    storage_options: Mapping[str, Any] | None,
    source_options: Mapping[str, Mapping[str, Any]] | None,
    pointer_policy: Mapping[str, str] | None = None,
) -> Store:
    """Return the store that a client's arguments name, or the environment for those that are None. Touches no network.

    Raises:
        InvalidInputError: the place or an option is invalid; the message names the argument or the variable.
    """
    given = _Given(
        URI_VARIABLE if storage_uri is None else "storage_uri",
        OPTIONS_VARIABLE if storage_options is None else "storage_options",
        SOURCES_VARIABLE if source_options is None else "source_options",
        POLICY_VARIABLE if pointer_policy is None else "pointer_policy",
    )
    uri = storage_uri if storage_uri is not None else os.environ.get(URI_VARIABLE)
    if uri is not None and not isinstance(uri, str | os.PathLike):
        raise InvalidInputError(f"a store is named by a text or a path, not {type(uri).__name__}")
    if storage_options is not None and not isinstance(storage_options, Mapping):
        raise InvalidInputError(f"storage_options is a mapping, not {type(storage_options).__name__}")
    if not uri:
        raise InvalidInputError(
            "no store was named", hint=f"Give storage_uri, such as 'file://./store', or set {URI_VARIABLE}."
        )
    with blamed_on(given.uri):
        url = resolve_url(os.fspath(uri))
    if storage_options is None:
        # A local store takes no options: those in the environment are meant for a bucket.
        storage_options = {} if url.startswith("file://") else options_from_environment(OPTIONS_VARIABLE)
    if source_options is None:
        source_options = options_from_environment(SOURCES_VARIABLE)
    if pointer_policy is None:
        pointer_policy = options_from_environment(POLICY_VARIABLE)
    try:
        return Store(url, storage_options, source_options=source_options, pointer_policy=pointer_policy)
    except InvalidInputError as error:
        blame(error, _culprit(url, source_options, pointer_policy, given))
        raise


def chained_url(store: Store) -> str | None:
    """Return the URL that an address of a store needs; None if the environment names that store."""
    uri = os.environ.get(URI_VARIABLE)
    try:
        return None if uri and resolve_url(uri) == store.url else store.url
    except InvalidInputError:  # the variable is invalid
        return store.url


def source_store(source: str, options: Mapping[str, Any] | None) -> Store:
    """Return the store that a caller gives as the source of a repair. Touches no network.

    Raises:
        InvalidInputError: the place or an option is invalid; the message names ``source`` or ``source_options``.
    """
    try:
        return opened_store(source, options, None)
    except InvalidInputError as error:
        blame_by_names(error, {"storage_uri": "source", "storage_options": "source_options"})
        raise


def other_store(place: object, options: Mapping[str, Any] | None) -> Store:
    """Return another store that a caller gives: a client's, or one at a place. Touches no network.

    Raises:
        InvalidInputError: the place or an option is invalid; the message names ``store`` or ``store_options``.
    """
    session = getattr(place, "_session", None)
    if isinstance(session, Session):
        if options:
            raise InvalidInputError(
                "options were given for a client, which has its own", hint="Give them when you make the client."
            )
        return session.store
    if not isinstance(place, str | os.PathLike):
        raise InvalidInputError(f"store is a URI, a path or a client, not {type(place).__name__}")
    try:
        return opened_store(place, options, None)
    except InvalidInputError as error:
        blame_by_names(error, {"storage_uri": "store", "storage_options": "store_options"})
        raise


def compared_version(store: Store, version: Any) -> tuple[Store, StoredManifest]:
    """Return a version with its store: an artifact or a data set with its own; another one is looked up in a store.

    By number also a pruned version is returned.

    Raises:
        InvalidInputError: it does not name a version.
        ArtifactNotFoundError: the version does not exist.
        ArtifactErasedError: it was erased.
    """
    artifact = getattr(version, "artifact", version)
    session, loaded = getattr(artifact, "_session", None), getattr(artifact, "_loaded", None)
    if isinstance(session, Session) and isinstance(loaded, StoredManifest):
        return session.store, loaded
    if not isinstance(version, str | Input):
        raise InvalidInputError(
            "a version is an artifact, a dataset, an input or a reference such as 'features@2', "
            f"not {type(version).__name__}"
        )
    store.marker()
    meant = Reference(version.name, version.version) if isinstance(version, Input) else Reference.parse(version)
    if isinstance(meant.version, int):
        refuse_erased(store, meant.name, meant.version)  # its manifest may lie there still
    return store, load_used(store, version if isinstance(version, Input) else meant)


def _culprit(url: str, sources: Mapping[str, Mapping[str, Any]], policy: Mapping[str, str], given: _Given) -> str:
    """Return the name of the invalid setting: the one that fails without the others."""
    try:
        check_source_options(sources)
    except InvalidInputError:
        return given.sources
    try:
        PointerPolicy.parse(url, policy)
    except InvalidInputError:
        return given.policy
    try:
        Store(url, {})
    except InvalidInputError:
        return given.uri
    return given.options


def bytes_of(size: int | str | None, argument: str) -> int | None:
    """Return a size in bytes, given as a number of bytes or as a text such as ``10GB``.

    Raises:
        InvalidInputError: it is neither; the message names the argument.
    """
    with blamed_on(argument):
        if isinstance(size, str):
            return parse_size(size)
        if isinstance(size, bool) or not isinstance(size, int | None):
            raise InvalidInputError(f"a size is a number of bytes or a text such as '10GB', not {size!r:.80}")
        return size


def check_grace(grace: object) -> None:
    """Raise InvalidInputError unless the value can be the grace of a store."""
    if grace is None:
        return
    if not isinstance(grace, timedelta) or not timedelta(minutes=1) <= grace <= timedelta(days=3650):
        raise InvalidInputError(f"grace is a timedelta between a minute and ten years, not {grace!s:.80}")


def checked_type(value: object) -> str:
    """Return an artifact type; raise InvalidInputError if it is invalid."""
    if not isinstance(value, str) or artifact_type_problem(value):
        raise InvalidInputError(
            f"artifact_type: {value!r:.80} is not an artifact type",
            hint="A type is up to 100 letters, digits, '.', '_', '/' and '-'.",
        )
    return value


def checked_key(key: object) -> str | None:
    """Return an idempotency key; raise InvalidInputError if it is invalid."""
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidInputError(f"idempotency_key is a text of 1 to {_MAX_KEY_CHARACTERS} characters, not {key!r:.80}")
    return key


def options_from_environment(variable: str) -> Mapping[str, Any]:
    """Return the JSON object in an environment variable; empty if it is not set."""
    text = os.environ.get(variable)
    if not text:
        return {}
    try:
        options = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInputError(f"{variable} is not valid JSON") from None  # its value may be secret
    if not isinstance(options, dict):
        raise InvalidInputError(f"{variable} is not a JSON object")
    return cast("dict[str, Any]", options)


def _may_carry_secret(rest: str) -> bool:
    place = rest.partition("/")[0]
    _, colon, port = place.rpartition(":")
    is_port = port.isdigit() and "@" not in rest
    return "@" in place or "?" in rest or "#" in rest or (bool(colon) and not is_port and not place.endswith("]"))


def _check_slashes(uri: str) -> None:
    """Refuse a path that begins with the scheme of an installed backend: ``s3:/bucket`` would be a folder ``s3:``."""
    scheme, colon, _ = uri.partition(":")
    if colon and scheme.lower() in installed_schemes() - {"file"}:
        raise InvalidInputError(
            f"a {scheme}:// URI has two slashes behind the colon",
            hint=f"Give {scheme}://bucket/prefix. A folder of this name on this machine is ./{scheme}:",
        )


def resolve_url(uri: str) -> str:
    """Return a URI with a scheme and, for a local store, an absolute path."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        _check_slashes(uri)
    if not separator or scheme.lower() == "file":
        path = rest if separator else uri.removeprefix("file:")
        if separator and path.startswith("localhost/"):
            path = path.removeprefix("localhost")
        if not path or "\0" in path:
            raise InvalidInputError(f"{uri!r} names no folder", hint="Give a path, such as file://./store.")
        return f"file://{absolute_path(path)}"
    if _may_carry_secret(rest):
        # The URI is not quoted, not even redacted: redaction misses a secret key that contains a slash.
        raise InvalidInputError(
            f"the {scheme}:// URI of the store carries user info, a query or a fragment",
            hint="Give credentials in storage_options or the environment; the URI is shown in logs and errors.",
        )
    if not rest.strip("/"):
        raise InvalidInputError(f"{uri!r} names no place", hint="Give a bucket, such as s3://bucket/prefix.")
    return f"{scheme.lower()}://{rest.rstrip('/')}"
