"""Objects of GCS that an artifact points to: generations and digests from the listing, reads of just one generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from metamlflow.backend.external import ObjectMeta, drift_error
from metamlflow.backend.options import with_configured_defaults
from metamlflow.errors import MetaMLFlowError, ObjectNotFoundError, StoreNotFoundError
from metamlflow_gcs.connection import Answer, GCSConnection, Request, object_path
from metamlflow_gcs.error_table import Refusal, UnreadableAnswer, number_in
from metamlflow_gcs.listings import PAGE, listed
from metamlflow_gcs.objects import FIELDS, media_request, object_info, told_errors
from metamlflow_gcs.options import PROTOCOLS, check_options, is_emulator, parse_url, spare_emulators_grpc

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BEYOND_END = 416
_PARTIAL = 206
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_external(root: str, options: Mapping[str, Any]) -> GCSExternalStore:
    """Open a bucket, ``gs://bucket``; ``options`` are those of ``gcsfs.GCSFileSystem``. No network.

    Raises:
        InvalidInputError: the URL names no bucket, or gcsfs would ignore an option.
    """
    check_options(with_configured_defaults(options, PROTOCOLS))
    return GCSExternalStore(parse_url(root)[0], options)


class GCSExternalStore:
    """A bucket as an external store; every promise is in :class:`metamlflow.backend.external.ExternalStore`.

    Every object has a generation, in a bucket that keeps versions or not: reads go to it, and where it is gone, that is
    told. An ETag of GCS changes with an object's metadata, so it stands for nothing here.
    """

    def __init__(self, bucket: str, options: Mapping[str, Any]) -> None:
        self._given = dict(options)
        configured = with_configured_defaults(options, PROTOCOLS)
        if is_emulator(configured):
            spare_emulators_grpc()
        self._bucket = bucket
        self._connection = GCSConnection(configured)

    def __getstate__(self) -> tuple[str, dict[str, Any]]:
        return self._bucket, self._given

    def __setstate__(self, state: tuple[str, dict[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def url_of(self, name: str) -> str:
        """Return the URI of an object."""
        return f"gs://{self._bucket}/{name}"

    def head(self, name: str, version: str | None = None) -> ObjectMeta:
        """Return what the object's resource tells; one request."""
        params = {"fields": FIELDS} | ({"generation": version} if version else {})
        with told_errors(self.url_of(name), f"gs://{self._bucket}"):
            answer = self._connection.request(Request("GET", object_path(self._bucket, name), params))
            return _sighting(answer.json(), answer)

    def list_objects(self, prefix: str, *, after: str = "", older: bool = False) -> Iterator[ObjectMeta]:
        """Yield the listing, a page of 1,000 at a time; older generations of a name come newest first."""
        params = {"prefix": prefix, "maxResults": str(PAGE), "fields": f"nextPageToken,items({FIELDS},timeDeleted)"}
        params |= {"versions": "true"} if older else {}
        found = listed(self._connection, self._bucket, params, _sighting, after=after)
        for _, versions in groupby(found, key=attrgetter("name")):
            yield from sorted(versions, key=lambda seen: int(seen.version or 0), reverse=True)

    def read(self, seen: ObjectMeta, start: int, end: int) -> Buffer:
        """Return a range of the generation that was seen; one request."""
        if end <= start:
            try:
                found = self.head(seen.name, seen.version)
            except (ObjectNotFoundError, StoreNotFoundError):
                raise self._drifted(seen) from None
            if seen.difference(found):
                raise drift_error(self.url_of(seen.name), seen, found)
            return b""
        # A range also of a whole: never more than was registered.
        request = media_request(self._bucket, seen.name, start, end, seen.version, as_stored=True)
        try:
            with told_errors(self.url_of(seen.name), f"gs://{self._bucket}"):
                answer = self._asked(request, seen)
        except (ObjectNotFoundError, StoreNotFoundError):
            raise self._drifted(seen) from None
        # 200 is the whole object: something on the way has ignored the range, and what is more was left out.
        header = "Content-Range" if answer.status == _PARTIAL else "Content-Length"
        size, data = _whole_size(answer.headers.get(header, "")), answer.body
        if size not in {None, seen.size} or len(data) != min(end, seen.size) - start:
            raise self._drifted(seen)
        return data

    def _asked(self, request: Request, seen: ObjectMeta) -> Answer:
        try:
            return self._connection.request(request)
        except Refusal as refusal:
            if refusal.status == _BEYOND_END:
                raise self._drifted(seen) from None
            raise

    def _drifted(self, seen: ObjectMeta) -> MetaMLFlowError:
        try:
            return drift_error(self.url_of(seen.name), seen, self.head(seen.name))
        except (ObjectNotFoundError, StoreNotFoundError):  # the bucket, perhaps
            return drift_error(self.url_of(seen.name), seen, None)


def _whole_size(content_range: str) -> int | None:
    """Return the size of the whole object that a range is of, in bytes; None if the answer does not tell."""
    return number_in(content_range.rpartition("/")[2])


def _sighting(resource: Mapping[str, Any], answer: Answer) -> ObjectMeta:
    info = object_info(None, resource, answer)
    if info.version is None:
        raise UnreadableAnswer("an object without a generation")
    since = info.modified - _EPOCH
    return ObjectMeta(
        name=info.key,
        size=info.size,
        version=info.version,
        modified_ns=((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000,
        held=info.checksums,
        current="timeDeleted" not in resource,
    )
