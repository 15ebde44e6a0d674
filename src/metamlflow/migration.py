"""Moving a store to another place, and proving that nothing changed."""

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
    """Bring versions to another store: numbers, ids, digests and manifest bytes unchanged; the source is only read.

    Versions go ascending within a name and inputs before their consumers, so the destination is consistent at every
    moment. What it has is not sent again: the same call goes on where one was stopped, and mirrors a store every night.
    Content is compared with its digest on its way. A name whose history is another at the destination is refused, and
    the rest goes on. What is only pointed to stays where it is.

    Args:
        source: a URI, a path, or a client.
        destination: likewise; the store is made if there is none.
        names: only these; default: all.
        source_options: fsspec options of the source, if it is given by its URI.
        destination_options: those of the destination.
        versions: whose bytes go, default all: numbers and ``"latest"`` mean versions of every name, references such as
            ``"features@2"`` and ``"features@latest"`` those of one; a mapping gives them by name. The manifests of all
            others go too, with the state ``absent``; a later call can bring their bytes.
        verify: how sure to be of what is brought or found there: ``sent`` (the digest goes along, for the destination
            to check), ``checksum`` (what its storage holds is compared) or ``full`` (every byte is read back).
        server_side: let the provider copy content over 1 MiB by itself, within one provider; its checksum is compared.
            The destination's credentials must be able to read the source. Where the server refuses, or the two ends are
            at different endpoints, the bytes pass through this machine, and the report's ``notes`` say so.
        executor: carries out the moving of content, in shares of up to 256 MiB or 256 objects: any executor of
            :mod:`concurrent.futures`, or a Dask client's ``get_executor()``. Each worker opens both stores by itself.
            A share whose worker is lost is done again.
        copy_pointers: a bucket, prefix or folder to copy to what artifacts only point to; the destination then records
            the new places, and its pointers lead there. Only what was registered with a digest is copied, and every
            byte is verified. Credentials are found as for reading it (``source_options`` of a client).
        relocations: the old places of relocations of the source that are to come in any case. Without being named,
            those come that move what was migrated; and where they would move pointers of the destination's own too,
            only if every byte of those is found at the new place.
        dry_run: only say what would go: versions, objects, bytes and about how many requests.
        progress: called with a :class:`~metamlflow.artifacts.Progress`.

    Returns:
        A report that is true in a condition if nothing was refused and nothing failed.

    Raises:
        StoreNotFoundError: there is no source.
        ArtifactNotFoundError: one of the names or versions does not exist.
        InvalidInputError: source and destination are one store, by its id; or they are of different providers, and a
            server should copy between them.
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
    """Return everything that differs between two stores, but for their markers and caches; empty if nothing does.

    Args:
        source: a URI, a path, or a client.
        destination: likewise.
        source_options: fsspec options of the source, if it is given by its URI.
        destination_options: those of the destination.
        full: read all content; else content is compared by key and size, since its key is its digest.
        progress: called with a :class:`~metamlflow.artifacts.Progress`.

    Raises:
        StoreNotFoundError: one of them does not exist.
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
    """Connect to a Dask scheduler for the time of a block; give an executor for :func:`migrate`.

    Each worker needs this library, the extras of both stores, and a way to both. The stores' own options travel with
    the tasks, over Dask's connections and nowhere else; better is to give none, and let each worker find credentials
    where its machine has them (environment, profile, instance role).

    Args:
        address: of the scheduler, such as ``tcp://host:8786``.

    Raises:
        MissingDependencyError: Dask is not installed.
        InvalidInputError: it is no such address.
        StorageUnavailableError: nothing answers there, or it has no workers.
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
    """Look whether something listens: Dask would try for a long time, and leave its own tracebacks."""
    scheme, _, place = address.partition("://")
    if scheme in {"inproc", "ucx", "ws", "wss"}:  # Dask's other ways
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
