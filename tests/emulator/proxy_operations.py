"""What a request asks for, in the words of the S3 and of the Google Cloud Storage API."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Dialect = Literal["s3", "gcs", "other"]

_OTHER = ("/_localstack/", "/moto-api/", "/_internal/", "/_aws/")
# S3: what a query parameter makes of a request. The first that is there decides.
_S3_SUBRESOURCES = {
    "uploads": {"POST": "CreateMultipartUpload", "GET": "ListMultipartUploads"},
    "partNumber": {"PUT": "UploadPart"},  # of a GET it says which part to read
    "uploadId": {"POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"},
    "delete": {"POST": "DeleteObjects"},
    "versions": {"GET": "ListObjectVersions"},
    "attributes": {"GET": "GetObjectAttributes"},
    "list-type": {"GET": "ListObjectsV2"},
}
_S3_SETTINGS = {
    "acl": "Acl",
    "tagging": "Tagging",
    "legal-hold": "LegalHold",
    "retention": "Retention",
    "object-lock": "LockConfiguration",
    "versioning": "Versioning",
    "encryption": "Encryption",
    "lifecycle": "LifecycleConfiguration",
    "policy": "Policy",
    "location": "Location",
}
_VERBS = {"GET": "Get", "PUT": "Put", "DELETE": "Delete", "HEAD": "Head", "POST": "Post"}
_BUCKET_VERBS = {"GET": "ListObjects", "PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}

_GCS = re.compile(
    r"^/(?P<area>upload/|download/)?storage/v1/b"
    r"(?:/(?P<bucket>[^/]+)(?:/(?P<collection>[^/]+)(?:/(?P<object>[^/]+)(?:/(?P<action>[^/]+))?)?)?)?(?:/.*)?$"
)
_GCS_OBJECT = {"GET": "get", "HEAD": "get", "DELETE": "delete", "PATCH": "patch", "PUT": "update"}
_GCS_ACTIONS = {"rewriteTo": "rewrite", "copyTo": "copy", "compose": "compose", "moveTo": "move"}


@dataclass(frozen=True)
class Operation:
    """What is asked for. ``key`` is the object's, or the prefix of a listing; empty where there is none."""

    dialect: Dialect
    name: str
    bucket: str = ""
    key: str = ""


def classify(method: str, target: str, *, copies: bool = False, body: bytes = b"") -> Operation:
    """Name the operation; ``body`` is the beginning of the request's, where GCS uploads say what they are for."""
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    if url.path.startswith(_OTHER):
        return Operation("other", f"{method} {url.path}")
    if url.path.startswith("/batch/storage/"):
        return Operation("gcs", "batch")
    if found := _GCS.match(url.path):
        return _gcs(method, found, query, body)
    return _s3(method, url.path, query, copies=copies)


def names_itself_in_the_body(target: str) -> bool:
    """Whether the object that a request is about may stand in its body alone, as in a GCS multipart upload."""
    return target.startswith("/upload/storage/") and "name=" not in target


def content_start(content_type: str, body: bytes) -> int:
    """Where the content begins in a ``multipart/related`` upload: after the metadata part. 0 if it is none."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not content_type.startswith("multipart/") or not boundary:
        return 0
    second = body.find(b"--" + boundary[1].encode(), body.find(b"--" + boundary[1].encode()) + 1)
    blank = re.compile(rb"\r?\n\r?\n").search(body, max(second, 0))
    return blank.end() if blank else 0


def _s3(method: str, path: str, query: dict[str, str], *, copies: bool) -> Operation:
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    for parameter, names in _S3_SUBRESOURCES.items():
        if parameter in query and method in names:
            name = names[method]
            if name == "UploadPart" and copies:
                name = "UploadPartCopy"
            return Operation("s3", name, bucket, key or query.get("prefix", ""))
    verb = _VERBS.get(method, method)
    for parameter, setting in _S3_SETTINGS.items():
        if parameter in query:
            return Operation("s3", f"{verb}{'Object' if key else 'Bucket'}{setting}", bucket, key)
    if not bucket:
        return Operation("s3", "ListBuckets")
    if not key:
        return Operation("s3", _BUCKET_VERBS.get(method, f"{verb}Bucket"), bucket, query.get("prefix", ""))
    return Operation("s3", "CopyObject" if copies and method == "PUT" else f"{verb}Object", bucket, key)


def _gcs(method: str, found: re.Match[str], query: dict[str, str], body: bytes) -> Operation:
    bucket, key = unquote(found["bucket"] or ""), unquote(found["object"] or "")
    if not found["collection"]:
        name = {"GET": "get" if bucket else "list", "POST": "insert"}.get(method, method.lower())
        return Operation("gcs", f"buckets.{name}", bucket)
    if found["collection"] != "o":
        return Operation("gcs", f"{found['collection']}.{method.lower()}", bucket, key)
    if found["area"] == "upload/":
        key = query.get("name") or _name_in(body)
        if query.get("uploadType") != "resumable":
            return Operation("gcs", "objects.insert", bucket, key)
        return Operation("gcs", "resumable.upload" if "upload_id" in query else "resumable.start", bucket, key)
    if not key:
        return Operation("gcs", "objects.list", bucket, query.get("prefix", ""))
    name = _GCS_ACTIONS.get(found["action"] or "") or _GCS_OBJECT.get(method, method.lower())
    if method == "GET" and (found["area"] == "download/" or query.get("alt") == "media"):
        name = "media"
    return Operation("gcs", f"objects.{name}", bucket, key)


def _name_in(body: bytes) -> str:
    """The ``name`` in the JSON object that a body begins with, or that is its first part."""
    begin = body.find(b"{")
    if begin < 0:
        return ""
    try:
        metadata, _ = json.JSONDecoder().raw_decode(body[begin:].decode("utf-8", "replace"))
    except ValueError:
        return ""
    return str(metadata.get("name", ""))
