"""Copying a store to another place, and comparing two stores."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from metamlflow.client import MetaMLFlowClient
from metamlflow.errors import InvalidInputError, MissingDependencyError, StorageUnavailableError
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.blobs import Proof
from metamlflow.store.migrate.compare import Difference, compare_stores
from metamlflow.store.migrate.migrate import migrate_store
from metamlflow.store.migrate.report import MigrationReport, VersionReport
from metamlflow.store.migrate.selection import Versions
from metamlflow.store.transfer.progress import ProgressCallback

__all__ = ["Difference", "MigrationReport", "VersionReport", "compare", "dask_executor", "migrate"]

Place = str | os.PathLike[str] | MetaMLFlowClient


def migrate(
    source: Place,
    destination: Place,
    names: Iterable[str] | None = None,
    *,
    source_options: Mapping[str, Any] | None = None,
    destination_options: Mapping[str, Any] | None = None,
    versions: Versions | None = None,
    verify: Proof = "sent",
    server_side: bool = False,
    executor: Executor | None = None,
    copy_pointers: str | os.PathLike[str] | None = None,
    relocations: Iterable[str] = (),
    dry_run: bool = False,
    progress: ProgressCallback | None = None,
) -> MigrationReport:
    """Copy versions to another store: numbers, ids, digests and manifest bytes stay the same; the source is only read.

    Versions are copied in ascending order within a name, and inputs before their consumers, so the destination is
    consistent at every moment. Objects that the destination has are not sent again: the same call resumes an
    interrupted migration, and serves as a nightly mirror. Content is compared with its digest while it is copied. A
    name whose history differs at the destination is refused; the others are migrated. Pointed data stays where it is.

    Args:
        source: a URI, a path, or a client.
        destination: likewise; the store is created if it does not exist.
        names: the names to migrate; default: all.
        source_options: fsspec options of the source, if it is given by its URI.
        destination_options: fsspec options of the destination, if it is given by its URI.
        versions: the versions whose content is copied; default: all. Numbers and ``"latest"`` select versions of every
            name, references such as ``"features@2"`` and ``"features@latest"`` those of one name; a mapping gives them
            by name. All other versions are copied as manifests, with the state ``absent``; a later call can copy their
            content.
        verify: how to check content at the destination: ``sent`` (the digest is sent along, for the destination to
            check), ``checksum`` (the digest that its storage holds is compared) or ``full`` (every byte is read back).
        server_side: let the provider copy content over 1 MiB itself, within one provider; its checksum is compared.
            The destination's credentials must be able to read the source. If the server refuses, or the two stores are
            at different endpoints, the bytes pass through this machine, and the report's ``notes`` say so.
        executor: an executor that copies the content in batches of up to 256 MiB or 256 objects: any executor of
            :mod:`concurrent.futures`, or a Dask client's ``get_executor()``. Each worker opens both stores itself. A
            batch whose worker is lost is copied again.
        copy_pointers: a bucket, prefix or folder to copy pointed data to; the destination then records the new places,
            and its pointers lead there. Only data that was registered with a digest is copied, and every byte is
            verified. The client's ``source_options`` give the credentials, as for reading.
        relocations: the old places of relocations of the source that are copied in any case. Other relocations are
            copied if they apply to migrated pointers; if one would also move pointers that the destination had before,
            it is copied only if all their bytes are found at the new place.
        dry_run: copy nothing, and report the versions, objects, bytes and approximate requests.
        progress: called with a :class:`~metamlflow.artifacts.Progress`.

    Returns:
        A report that is true in a condition if nothing was refused and nothing failed.

    Raises:
        StoreNotFoundError: the source does not exist.
        ArtifactNotFoundError: one of the names or versions does not exist.
        InvalidInputError: source and destination are the same store, by its id; or ``server_side`` was given for two
            different providers.
    """
    return migrate_store(
        _store(source, source_options),
        _store(destination, destination_options),
        names,
        versions=versions,
        verify=verify,
        server_side=server_side,
        executor=executor,
        copy_pointers_to=None if copy_pointers is None else os.fspath(copy_pointers),
        relocations=relocations,
        dry_run=dry_run,
        progress=progress,
    )


def compare(
    source: Place,
    destination: Place,
    *,
    source_options: Mapping[str, Any] | None = None,
    destination_options: Mapping[str, Any] | None = None,
    full: bool = False,
    progress: ProgressCallback | None = None,
) -> list[Difference]:
    """Return all differences between two stores, except in their markers, features and caches.

    Args:
        source: a URI, a path, or a client.
        destination: likewise.
        source_options: fsspec options of the source, if it is given by its URI.
        destination_options: fsspec options of the destination, if it is given by its URI.
        full: read all content. Otherwise content is compared by key and size, since its key is its digest.
        progress: called with a :class:`~metamlflow.artifacts.Progress`.

    Raises:
        StoreNotFoundError: one of the stores does not exist.
    """
    ends = _store(source, source_options), _store(destination, destination_options)
    return compare_stores(*ends, full=full, progress=progress)


def _store(place: Place, options: Mapping[str, Any] | None) -> Store:
    if isinstance(place, MetaMLFlowClient):
        if options:
            raise InvalidInputError(
                "options were given for a client, which has its own", hint="Give them when you make the client."
            )
        client = place
    else:
        client = MetaMLFlowClient(place, storage_options=options)
    return client._store  # noqa: SLF001 (its own kind)


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """Connect to a Dask scheduler for the duration of a block, and yield an executor for :func:`migrate`.

    Each worker needs this library, the extras of both stores, and network access to both. The options of both stores
    are sent with the tasks, over Dask's connections only. It is better to give no options and let each worker find
    credentials on its own machine (environment, profile, instance role).

    Args:
        address: the address of the scheduler, such as ``tcp://host:8786``.

    Raises:
        MissingDependencyError: Dask is not installed.
        InvalidInputError: the address is malformed.
        StorageUnavailableError: the scheduler does not answer, or has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError(
            f"spreading a migration needs a package that is not installed: {error.name or error}",
            hint="Install it with: pip install 'metamlflow[dask]'",
            extra="dask",
        ) from error
    _check_scheduler(address)
    try:
        client = Client(address, timeout=_DASK_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise StorageUnavailableError(
            f"there is no Dask scheduler at {address}: {error}", hint="Check the address.", key=address
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_DASK_SECONDS)
        except TimeoutError as error:
            raise StorageUnavailableError(
                f"the Dask scheduler at {address} has no workers",
                hint=f"Start some: dask worker {address}",
                key=address,
            ) from error
        yield client.get_executor()  # type: ignore[no-untyped-call]


_DASK_SECONDS = 10


def _check_scheduler(address: str) -> None:
    """Check that something listens at the address: Dask would retry for long, and print its own tracebacks."""
    scheme, _, place = address.partition("://")
    if scheme in {"inproc", "ucx", "ws", "wss"}:  # Dask's other transports
        return
    host, _, port = place.rpartition(":")
    if scheme not in {"tcp", "tls"} or not host or not port.isdecimal():
        raise InvalidInputError(
            f"{address!r:.80} is not the address of a Dask scheduler",
            hint="Write it as tcp://host:8786 or tls://host:8786.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_DASK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise StorageUnavailableError(
            f"there is no Dask scheduler at {address}: {error}", hint="Check the address.", key=address
        ) from error
