"""The seam: what a storage backend promises, how one is found, and the part that every fsspec-based one shares.

A backend knows keys, bytes and records; it knows nothing of artifacts. ``docs/backends.md`` shows how to write one, and
``metamlflow.testing`` proves it.
"""

from metamlflow.backend.deleting import delete_seen
from metamlflow.backend.error_rows import CONNECTION_ROWS, HTTP_ROWS, ErrorRow, ErrorTable
from metamlflow.backend.fsspec_backend import FsspecBackend
from metamlflow.backend.object_requests import (
    ObjectRequests,
    Opened,
    Page,
    PageRequest,
    StreamsObjects,
    Upload,
    UploadsInParts,
)
from metamlflow.backend.object_store import ObjectStoreBackend
from metamlflow.backend.patience import Patience, Tries
from metamlflow.backend.registry import open_backend
from metamlflow.backend.replacing import replace_content
from metamlflow.backend.seam import (
    Backend,
    Blob,
    CheapStat,
    ConfirmsCreation,
    DeleteFailure,
    DeletesSeen,
    GathersListings,
    LeavesUploads,
    ListsAcrossPrefixes,
    ObjectInfo,
    ReplacesContent,
    ServerSideCopy,
    UncheckedRead,
    UnfinishedUpload,
)
from metamlflow.backend.streaming import Stream, StreamedObject
from metamlflow.backend.translation import Table, passing_failure, translated_errors

__all__ = [
    "CONNECTION_ROWS",
    "HTTP_ROWS",
    "Backend",
    "Blob",
    "CheapStat",
    "ConfirmsCreation",
    "DeleteFailure",
    "DeletesSeen",
    "ErrorRow",
    "ErrorTable",
    "FsspecBackend",
    "GathersListings",
    "LeavesUploads",
    "ListsAcrossPrefixes",
    "ObjectInfo",
    "ObjectRequests",
    "ObjectStoreBackend",
    "Opened",
    "Page",
    "PageRequest",
    "Patience",
    "ReplacesContent",
    "ServerSideCopy",
    "Stream",
    "StreamedObject",
    "StreamsObjects",
    "Table",
    "Tries",
    "UncheckedRead",
    "UnfinishedUpload",
    "Upload",
    "UploadsInParts",
    "delete_seen",
    "open_backend",
    "passing_failure",
    "replace_content",
    "translated_errors",
]
