"""The least that a role needs in a bucket of S3, as an IAM policy.

Taken from the provider's documentation, and not run against its policy engine:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html for the condition keys, and
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html for the actions.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from metamlflow.backend.diagnosis import AccessPolicy, Role, StoreKeys

_Statement = dict[str, Any]

_ATTACH = "Attach it to a user or role. As a bucket policy, each statement needs a Principal too."
_DENIED_COPIES = (
    "Writers are denied every write without If-None-Match, so they cannot overwrite: on AWS that rules out CopyObject "
    "into the store as well. Other servers may not know s3:if-none-match; some then deny nothing, others everything."
)
_VERSIONED = (
    "In a versioned bucket a collection deletes the very versions that it judged, for good. Older ones go by a "
    "lifecycle rule (NoncurrentVersionExpiration), which needs no right of the collector's."
)


def access_policy(url: str, options: Mapping[str, Any], role: Role, keys: StoreKeys) -> AccessPolicy:
    """Return an IAM policy for the store's prefix.

    Args:
        url: of the store.
        options: of ``s3fs.S3FileSystem``.
        role: what is to be done with the store.
        keys: where its things lie.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    region = _region(options.get("client_kwargs") or {})
    place = _Place(_partition(region), bucket, f"{prefix}/" if prefix else "")
    asked = options.get("s3_additional_kwargs") or {}
    key = asked.get("SSEKMSKeyId") if str(asked.get("ServerSideEncryption", "")).startswith("aws:kms") else None
    statements = list(_reading(place))
    notes = [_ATTACH]
    if role == "writer":
        statements += _writing(place, keys, [place.objects()])
        notes.append(_DENIED_COPIES)
    elif role == "pruner":
        # The marker: before its first record a client tries to create it again, which has to be refused.
        made = [keys.marker, keys.states]
        statements += _writing(place, keys, [*map(place.object, made), *map(place.objects, keys.retention)])
        notes.append(_DENIED_COPIES)
    elif role == "collector":
        statements += _writing(place, keys, [place.object(keys.marker), place.objects(keys.collections)])
        statements += _deleting(place, keys)
        notes.append(_VERSIONED)
    if key:
        statement, note = _encryption(place.partition, str(key), role)
        statements.append(statement)
        notes += note
    document = {"Version": "2012-10-17", "Statement": statements}
    return AccessPolicy(json.dumps(document, indent=2), tuple(notes), document)


class _Place:
    """Spells resources of one bucket."""

    def __init__(self, partition: str, bucket: str, prefix: str) -> None:
        self.partition = partition
        # In a policy * and ? stand for others, and $ begins a variable.
        self.prefix = re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", prefix)
        self.bucket = f"arn:{partition}:s3:::{bucket}"

    def objects(self, prefix: str = "") -> str:
        """Return what stands for all objects below a prefix of the store."""
        return f"{self.object(prefix)}*"

    def object(self, key: str) -> str:
        """Return what stands for one object of the store."""
        return f"{self.bucket}/{self.prefix}{key}"


def _allow(sid: str, actions: list[str], resource: str | list[str]) -> _Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _reading(place: _Place) -> Iterator[_Statement]:
    listing = _allow("ListStore", ["s3:ListBucket"], place.bucket)
    # A prefix of listings; and for an object that is not there, its key, which makes the difference of 404 and 403.
    if place.prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{place.prefix}*"]}}
    yield listing
    yield _allow("ReadObjects", ["s3:GetObject"], place.objects())


def _deleting(place: _Place, keys: StoreKeys) -> Iterator[_Statement]:
    actions = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    yield _allow("CollectContent", [*actions, "s3:AbortMultipartUpload"], place.objects(keys.blobs))
    yield _allow("EraseRecords", actions, list(map(place.objects, keys.erasable)))
    # Without these, a report cannot say what the bucket keeps of what is deleted, or until when an object is locked.
    settings = ["s3:ListBucketMultipartUploads", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"]
    yield _allow("ReadSettings", settings, place.bucket)
    yield _allow("ReadLocks", ["s3:GetObjectRetention", "s3:GetObjectLegalHold"], place.objects())


def _writing(place: _Place, keys: StoreKeys, resources: list[str]) -> Iterator[_Statement]:
    yield _allow(
        "CreateObjects",
        ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        resources[0] if len(resources) == 1 else resources,
    )
    yield {
        "Sid": "NeverOverwrite",
        "Effect": "Deny",
        "Action": "s3:PutObject",
        "Resource": [place.object(keys.marker), *map(place.objects, (*keys.records, keys.blobs))],
        "Condition": {
            "Null": {"s3:if-none-match": "true"},
            # False for the requests that begin an upload in parts and send them: these take no condition, and create
            # nothing before the completion, which does.
            "Bool": {"s3:ObjectCreationOperation": "true"},
        },
    }


def _encryption(partition: str, key: str, role: Role) -> tuple[_Statement, list[str]]:
    # Decrypt is for writers too: an upload in parts needs it, and they read back what they claim.
    actions = ["kms:Decrypt", *(["kms:GenerateDataKey"] if role != "reader" else [])]
    if key.startswith("arn:") and ":alias/" not in key:
        return _allow("UseKey", actions, key), []
    note = f"UseKey names a placeholder: put the ARN of the key {key} there."
    return _allow("UseKey", actions, f"arn:{partition}:kms:REGION:ACCOUNT:key/KEY-ID"), [note]


def _region(options: Mapping[str, Any]) -> str:
    named = options.get("region_name") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return str(named or "")


def _partition(region: str) -> str:
    known = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((partition for start, partition in known.items() if region.startswith(start)), "aws")
