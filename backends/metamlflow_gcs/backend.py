"""A store in a bucket of Google Cloud Storage, over the JSON API.

Every option of gcsfs (token, project, endpoint, requester pays, proxies) means here what its users know it to mean: its
file system is made from them, and each request goes through that file system's session and credentials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from metamlflow.backend.deleting import another, told_once
from metamlflow.backend.diagnosis import AccessPolicy, Create, Examination, Role, StoreKeys
from metamlflow.backend.object_store import ObjectStoreBackend
from metamlflow.backend.options import with_configured_defaults
from metamlflow.backend.patience import Patience
from metamlflow.backend.seam import Backend, DeleteFailure, ObjectInfo
from metamlflow.errors import AlreadyExistsError, MetaMLFlowError
from metamlflow_gcs.connection import API, GCSConnection, Request
from metamlflow_gcs.doctor import examinations
from metamlflow_gcs.error_table import gcs_error
from metamlflow_gcs.gcs_requests import GCSRequests
from metamlflow_gcs.listings import PAGE
from metamlflow_gcs.options import PROTOCOLS, check_options, is_emulator, parse_url, spare_emulators_grpc
from metamlflow_gcs.policy import access_policy
from metamlflow_gcs.server_copy import GCSCopies

if find_spec("gcsfs") is None:  # imported when first used; but whoever opens a store is told now
    raise ModuleNotFoundError("No module named 'gcsfs'", name="gcsfs")


def open_backend(url: str, options: Mapping[str, Any]) -> GCSBackend:
    """Open the store at a ``gs://bucket/prefix`` URL; ``options`` are those of ``gcsfs.GCSFileSystem``. No network.

    One option is ours: ``kms_key_name`` encrypts all that is written with that key of Cloud KMS.

    Raises:
        InvalidInputError: the URL names no bucket, or gcsfs would ignore an option.
    """
    bucket, prefix = parse_url(url)
    check_options(with_configured_defaults(options, PROTOCOLS))
    return GCSBackend(bucket, prefix, options)


class GCSBackend(ObjectStoreBackend):
    """The backend seam over a GCS bucket; every promise is in :class:`metamlflow.backend.Backend`."""

    own_errors = staticmethod(gcs_error)
    patience = Patience(attempts=1)  # the connection has its own
    page_size = PAGE

    def __init__(self, bucket: str, prefix: str, options: Mapping[str, Any]) -> None:
        options = with_configured_defaults(options, PROTOCOLS)
        if is_emulator(options):
            spare_emulators_grpc()
        self._bucket = bucket
        self._kms_key: str | None = options.get("kms_key_name")
        self._connection = GCSConnection(options)
        self._copies = GCSCopies(self._connection, bucket, self._kms_key)
        super().__init__(f"gs://{bucket}", prefix, lambda: GCSRequests(self._connection, bucket, self._kms_key))

    @property
    def filesystem(self) -> Any:
        """The gcsfs file system underneath."""
        return self._connection.filesystem

    def delete_seen(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Delete objects, each on condition of its generation."""
        failures: list[DeleteFailure] = []
        for start in range(0, len(infos), PAGE):
            failures += self._delete_seen(infos[start : start + PAGE])
        return failures

    def _delete_seen(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        requests = self.requests
        assert isinstance(requests, GCSRequests)  # noqa: S101 (as the constructor makes it)
        generations = [(self.name_of(info.key), info.version or "") for info in infos]
        with self.translated(infos[0].key):
            failed = requests.delete_generations(generations)
        failures = []
        for name, cause in failed:
            key = name.removeprefix(self.name_of(""))
            try:
                with self.translated(key):
                    raise cause
            except AlreadyExistsError:  # what "the condition does not hold" means elsewhere
                failures.append(DeleteFailure(key, another(key)))
            except MetaMLFlowError as error:
                failures.append(DeleteFailure(key, told_once(key, error)))
        return failures

    def obstacle_to(self, source: Backend) -> str | None:
        """Return None for buckets at one endpoint."""
        if not isinstance(source, GCSBackend):
            return "the other end is no GCS bucket"
        return self._copies.obstacle_to(source._copies)  # noqa: SLF001 (its own kind)

    def copy_from(self, source: Backend, key: str, size: int, crc32c: str) -> bool:  # noqa: ARG002 (the server knows it)
        """Let GCS rewrite an object on condition that there is none."""
        assert isinstance(source, GCSBackend)  # noqa: S101 (obstacle_to tells)
        try:
            with self.translated(key):
                self._copies.copy(source._copies, source.name_of(key), self.name_of(key), size)  # noqa: SLF001 (the same)
        except AlreadyExistsError:
            return False
        return True

    def locked_for(self) -> timedelta | None:
        """Return the retention of the bucket's policy, which holds for every object of it."""
        request = Request(
            "GET", f"{API}/b/{quote(self._bucket, safe='')}", {"fields": "retentionPolicy"}, about="bucket"
        )
        with self.translated(""):
            policy = self._connection.request(request).json().get("retentionPolicy") or {}
        return timedelta(seconds=int(policy.get("retentionPeriod") or 0)) or None

    def creators(self) -> Mapping[str, Create]:
        """Return the one way: a conditional request of the JSON API."""
        return {"json-api": self.create}

    def examinations(self, marker: str) -> Iterator[Examination]:  # noqa: ARG002 (buckets need no key)
        """Yield checks of client, credentials and bucket. Nothing is written."""
        return examinations(self._connection, self.url)

    def access_policy(self, role: Role, keys: StoreKeys) -> AccessPolicy:
        """Return commands that make a custom role and grant it for the store's prefix."""
        return access_policy(self.url, self._kms_key, role, keys)
