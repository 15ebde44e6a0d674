"""What to look at in a bucket of S3: who asks, where the bucket is, and which of its settings harm a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from shlex import join
from typing import Any, cast
from urllib.parse import urlsplit

from metamlflow.backend.diagnosis import Examination, Observation, clock_finding, installed_versions, overlaps
from metamlflow.backend.translation import translated_errors
from metamlflow.errors import AccessDeniedError, MetaMLFlowError, ObjectNotFoundError, StoreNotFoundError
from metamlflow_s3.connection import S3Connection
from metamlflow_s3.engines import ON_DEMAND, EngineChoice
from metamlflow_s3.error_table import s3_error

_UPLOADS_ARE_OLD_AFTER = timedelta(days=1)
_SHOWN = 3
_STS_SECONDS = 5
_LOGIN = (
    "Give credentials in the storage options or in the environment, or log in; for a public bucket: {'anon': True}."
)
_ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}  # not readable at once; GLACIER_IR is
_REGION = "Set storage_options={'client_kwargs': {'region_name': '%s'}}."


def examinations(connection: S3Connection, engine: EngineChoice, url: str) -> Iterator[Examination]:
    """Yield checks of client, credentials and bucket; see :class:`~metamlflow.backend.diagnosis.Diagnosable`.

    Nothing is written.

    Args:
        connection: to the server.
        engine: the choice of the one that makes the requests of small objects.
        url: of the store.
    """
    bucket = _Bucket(connection, url)
    yield Examination("packages", _packages, remote=False)
    yield Examination("engine", partial(_engine, engine), remote=False)
    yield Examination("credentials", partial(_credentials, bucket), vital=True)
    yield Examination("bucket", partial(_exists, bucket), vital=True)
    yield Examination("clock", partial(_clock, bucket))
    yield Examination("checksums", partial(_checksums, bucket), remote=False)
    yield Examination("versioning", partial(_versioning, bucket))
    yield Examination("object-lock", partial(_object_lock, bucket))
    yield Examination("lifecycle", partial(_lifecycle, bucket))
    yield Examination("unfinished-uploads", partial(_uploads, bucket))
    yield Examination("encryption", partial(_encryption, bucket))


class _Bucket:
    """A bucket, asked through the connection of a backend."""

    def __init__(self, connection: S3Connection, url: str) -> None:
        self.connection = connection
        self.name, _, prefix = url.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""

    def ask(self, method: str, *, absent: str = "-", **arguments: Any) -> dict[str, Any]:
        """Make a request; an answer with the error code ``absent`` is an empty one."""
        try:
            with translated_errors(f"s3://{self.name}", own=s3_error):
                answer = self.connection.call(method, **arguments)
        except MetaMLFlowError as error:
            if response_of(error).get("Error", {}).get("Code") != absent:
                raise
            return {}
        return cast("dict[str, Any]", answer)

    @property
    def filesystem(self) -> Any:
        """A file system of s3fs with the same options, for what it knows of its client."""
        return self.connection.filesystem

    def option(self, name: str) -> Any:
        """Return one of the arguments that the user adds to every request, or None."""
        return (self.filesystem.s3_additional_kwargs or {}).get(name)

    @property
    def on_aws(self) -> bool:
        """Whether requests go to AWS itself."""
        host = urlsplit(self.filesystem.s3.meta.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        region = str(self.filesystem.s3.meta.region_name or "")
        return "us-east-1" if region in {"aws-global", ""} else region


def response_of(error: BaseException | None) -> dict[str, Any]:
    """Return the answer of S3 that an error came from, or an empty one."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return response
        error = error.__cause__ or error.__context__
    return {}


def _packages() -> Observation:
    return Observation("ok", installed_versions("s3fs", "aiobotocore", "botocore", "obstore"))


def _engine(choice: EngineChoice) -> Observation:
    reason = choice.reason
    if reason is None:
        return Observation("ok", "obstore moves small objects, ranges and listings; s3fs does the rest")
    if reason == ON_DEMAND:
        return Observation("ok", f"s3fs makes all requests, as {reason}")
    return Observation(
        "warning",
        f"s3fs makes all requests, which takes several times as long for many small files: {reason}",
        "Nothing is wrong; for more speed, change what it names. See docs/s3.md.",
    )


# --- who and where ----------------------------------------------------------------------------------------------------


def _credentials(bucket: _Bucket) -> Observation:
    from fsspec.asyn import sync

    filesystem = bucket.filesystem
    if filesystem.anon:
        return Observation("ok", "none are sent (anon): enough to read a public bucket")
    source: list[str] = []
    try:
        with translated_errors(f"s3://{bucket.name}", own=s3_error):
            who = sync(filesystem.loop, _caller, bucket, source)
    except MetaMLFlowError as error:
        if not source or (bucket.on_aws and isinstance(error, AccessDeniedError)):
            raise
        return Observation(
            "unknown",
            f"credentials from {source[0]}; whose they are is not known, for STS did not say: {error.message}",
        )
    return Observation("ok", f"{who['Arn']}, account {who['Account']}, credentials from {source[0]}")


async def _caller(bucket: _Bucket, source: list[str]) -> dict[str, Any]:
    """Ask STS whose the credentials are, through the session that the store uses; note where they came from."""
    from s3fs.core import AioConfig

    filesystem = bucket.filesystem
    s3 = await filesystem.set_session()
    named = {"aws_access_key_id": filesystem.key, "aws_secret_access_key": filesystem.secret}
    named["aws_session_token"] = filesystem.token
    named |= {name: value for name, value in (filesystem.client_kwargs or {}).items() if name.startswith("aws_")}
    if named["aws_access_key_id"]:
        source.append("the storage options")
    elif (credentials := await filesystem.session.get_credentials()) is not None:
        source.append(str(credentials.method))
    else:
        raise AccessDeniedError("there are no credentials", hint=_LOGIN)
    # Not the address of a bucket: AWS has one of its own for STS, and others offer it where they offer S3, or not.
    place = {} if bucket.on_aws else {"endpoint_url": s3.meta.endpoint_url}
    config = AioConfig(
        connect_timeout=_STS_SECONDS,
        read_timeout=_STS_SECONDS,
        retries={"total_max_attempts": 1},
        proxies=s3.meta.config.proxies,
        proxies_config=s3.meta.config.proxies_config,
    )
    verify = (filesystem.client_kwargs or {}).get("verify")
    async with filesystem.session.create_client(
        "sts", region_name=bucket.region, config=config, verify=verify, **place, **named
    ) as sts:
        return cast("dict[str, Any]", await sts.get_caller_identity())


def _exists(bucket: _Bucket) -> Observation:
    try:
        answer = bucket.ask("head_bucket")
    except AccessDeniedError:
        return Observation("unknown", "the credentials may not ask (HeadBucket takes s3:ListBucket without a prefix)")
    except (ObjectNotFoundError, StoreNotFoundError):
        return Observation(
            "failed", f"the bucket {bucket.name} does not exist", "Create it, or check its name and the endpoint."
        )
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region")
    if not region:
        return Observation("ok", f"it exists; the server names no region, requests are signed for {bucket.region}")
    if region == bucket.region:
        return Observation("ok", f"it exists, in {region}")
    found = f"it exists in {region}, and requests are signed for {bucket.region}"
    return Observation("warning", found, _REGION % region)


def _clock(bucket: _Bucket) -> Observation:
    try:
        answer = bucket.ask("head_bucket")
    except MetaMLFlowError as error:
        answer = response_of(error)  # a refusal has a date too, and a wrong clock may be its reason
        if not answer:
            raise
    now = datetime.now(UTC)
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not date:
        return Observation("unknown", "the server's answer has no date")
    return clock_finding(parsedate_to_datetime(date).astimezone(UTC), now)


# --- settings ---------------------------------------------------------------------------------------------------------


def _checksums(bucket: _Bucket) -> Observation:
    if not bucket.connection.checksums:
        return Observation(
            "warning",
            "not sent (request_checksum_calculation is when_required): damage on the way is found when reading",
            "Leave that setting out (storage options, AWS_REQUEST_CHECKSUM_CALCULATION or profile) if the server takes "
            "checksums.",
        )
    return Observation(
        "ok", "SHA-256 or CRC32C is sent along; a server that checks it refuses what was damaged on its way"
    )


def _versioning(bucket: _Bucket) -> Observation:
    status = bucket.ask("get_bucket_versioning").get("Status")
    if status == "Suspended":
        return Observation(
            "warning",
            "suspended: versions from before still take space, and an overwritten or deleted object is lost",
            "Switch it on again, or remove the old versions by a lifecycle rule (NoncurrentVersionExpiration).",
        )
    if status != "Enabled":
        return Observation("ok", "off: nothing that a store needs; on, it brings back what was deleted from outside")
    with suppress(MetaMLFlowError):
        if any(expires_old_versions(rule, bucket.prefix) for rule in _rules(bucket)):
            return Observation("ok", "on, and old versions expire")
    return Observation(
        "warning",
        "on, and no lifecycle rule that can be seen expires old versions: what is collected goes on taking space",
        "Add a rule with NoncurrentVersionExpiration for the store's prefix. Some servers other than AWS ignore "
        "conditions on versioned buckets: see the check of conditional writes.",
    )


def _object_lock(bucket: _Bucket) -> Observation:
    answer = bucket.ask("get_object_lock_configuration", absent="ObjectLockConfigurationNotFoundError")
    lock = answer.get("ObjectLockConfiguration", {})
    if lock.get("ObjectLockEnabled") != "Enabled":
        return Observation("ok", "none")
    retention = lock.get("Rule", {}).get("DefaultRetention")
    if not retention:
        return Observation("ok", "on, without a default retention")
    length = f"{retention['Days']} days" if "Days" in retention else f"{retention.get('Years')} years"
    return Observation(
        "warning",
        f"new objects are kept for {length} ({retention.get('Mode')})",
        "Until then nothing can be collected. That is fine if it is meant; else remove the default retention.",
    )


def _lifecycle(bucket: _Bucket) -> Observation:
    tagged = bucket.option("Tagging") is not None
    rules = _rules(bucket)
    harm = [text for rule in rules for text in harmful_rules(rule, bucket.prefix, tagged=tagged)]
    if not harm:
        return Observation("ok", f"{len(rules)} rules, none of which removes or archives what is stored")
    return Observation(
        "failed",
        "; ".join(harm),
        "Limit these rules to other prefixes: versions name objects that would be gone or not be readable at once.",
    )


def _rules(bucket: _Bucket) -> list[dict[str, Any]]:
    answer = bucket.ask("get_bucket_lifecycle_configuration", absent="NoSuchLifecycleConfiguration")
    return [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled"]


def _uploads(bucket: _Bucket) -> Observation:
    answer = bucket.ask("list_multipart_uploads", Prefix=bucket.prefix)
    limit = datetime.now(UTC) - _UPLOADS_ARE_OLD_AFTER
    listed = [upload for upload in answer.get("Uploads", ()) if upload["Key"].startswith(bucket.prefix)]
    old = [upload for upload in listed if upload["Initiated"] < limit]
    more = " or more" if answer.get("IsTruncated") else ""
    found = f"{len(listed)}{more} unfinished, {len(old)}{more} of them begun more than a day ago"
    if not old:
        return Observation("ok", found)
    commands = "; ".join(_abort_command(bucket, upload) for upload in old[:_SHOWN])
    return Observation(
        "warning",
        f"{found}; their parts take space",
        f"{commands}{' …' if len(old) > _SHOWN else ''}. A lifecycle rule with AbortIncompleteMultipartUpload does "
        "it for good.",
    )


def _abort_command(bucket: _Bucket, upload: Mapping[str, Any]) -> str:
    words = ["aws", "s3api", "abort-multipart-upload", "--bucket", bucket.name]
    words += ["--key", upload["Key"], "--upload-id", upload["UploadId"]]
    return join(words if bucket.on_aws else [*words, "--endpoint-url", bucket.filesystem.s3.meta.endpoint_url])


def _encryption(bucket: _Bucket) -> Observation:
    asked = bucket.option("ServerSideEncryption")
    absent = "ServerSideEncryptionConfigurationNotFoundError"
    rules = bucket.ask("get_bucket_encryption", absent=absent).get("ServerSideEncryptionConfiguration", {})
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules.get("Rules", ())]
    told = ", ".join(
        default.get("SSEAlgorithm", "?") + (f" with {key}" if (key := default.get("KMSMasterKeyID")) else "")
        for default in defaults
    )
    here = f"; the storage options ask for {asked}" if asked else ""
    return Observation("ok", f"the bucket's default: {told or 'none'}{here}")


# --- lifecycle rules, as GetBucketLifecycleConfiguration lists them ---------------------------------------------------


def harmful_rules(rule: Mapping[str, Any], prefix: str, *, tagged: bool) -> Iterator[str]:
    """Yield what an enabled rule does that would take objects below ``prefix`` away.

    Args:
        rule: one rule.
        prefix: of the store, ending in a slash, or empty.
        tagged: whether the store's objects carry tags; else a rule for a tag never means them.
    """
    if not _concerns(rule, prefix, tagged=tagged):
        return
    name = f"the rule {rule.get('ID') or '(without an id)'}"
    expiration = rule.get("Expiration", {})
    if "Days" in expiration:
        yield f"{name} deletes objects after {expiration['Days']} days"
    elif "Date" in expiration:
        yield f"{name} deletes objects on {expiration['Date']}"
    for move in rule.get("Transitions", ()):
        if move.get("StorageClass") in _ARCHIVES:
            when = f"after {move['Days']} days" if "Days" in move else f"on {move.get('Date')}"
            yield f"{name} archives objects {when} ({move['StorageClass']})"


def expires_old_versions(rule: Mapping[str, Any], prefix: str) -> bool:
    """Whether an enabled rule removes old versions of all objects below ``prefix``."""
    where, tags = _filter(rule)
    return bool(rule.get("NoncurrentVersionExpiration")) and prefix.startswith(where) and not tags


def _concerns(rule: Mapping[str, Any], prefix: str, *, tagged: bool) -> bool:
    where, tags = _filter(rule)
    return overlaps(where, prefix) and (tagged or not tags)


def _filter(rule: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the prefix that a rule is for, and whether it is for tagged objects alone."""
    selection = rule.get("Filter") or {}
    both = selection.get("And", {})
    # Before filters came, a rule had its prefix at the top.
    where = selection.get("Prefix") or both.get("Prefix") or rule.get("Prefix") or ""
    return where, bool(selection.get("Tag") or both.get("Tags"))
