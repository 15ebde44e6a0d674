"""What to look at in a bucket of Google Cloud Storage: who asks, and which of the bucket's settings harm a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from metamlflow.backend.diagnosis import Examination, Observation, clock_finding, installed_versions, overlaps
from metamlflow.backend.translation import translated_errors
from metamlflow.errors import AccessDeniedError, MetaMLFlowError, StoreNotFoundError
from metamlflow_gcs.connection import Answer, GCSConnection, Request
from metamlflow_gcs.error_table import gcs_error

_NEEDED = ("storage.objects.get", "storage.objects.list", "storage.objects.create")
_ASKED = (*_NEEDED, "storage.objects.delete")
_MAY_SEE = "Settings are seen with storage.buckets.get, which roles/storage.bucketViewer has."
_ONLY_OLD_VERSIONS = ("numNewerVersions", "daysSinceNoncurrentTime", "noncurrentTimeBefore")
_SECONDS_A_DAY = 86_400


def examinations(connection: GCSConnection, url: str) -> Iterator[Examination]:
    """Yield checks of client, credentials and bucket; see :class:`~metamlflow.backend.diagnosis.Diagnosable`.

    Nothing is written.

    Args:
        connection: to the server.
        url: of the store.
    """
    bucket = _Bucket(connection, url)
    yield Examination("packages", _packages, remote=False)
    yield Examination("credentials", partial(_credentials, connection, url), vital=True)
    yield Examination("bucket", partial(_location, bucket), vital=True)
    yield Examination("clock", partial(_clock, bucket))
    yield Examination("checksums", _checksums, remote=False)
    yield Examination("iam-permissions", partial(_permissions, bucket))
    for name, look in _SETTINGS.items():
        yield Examination(name, partial(_setting, bucket, look))


class _Bucket:
    """A bucket, asked for its settings once."""

    def __init__(self, connection: GCSConnection, url: str) -> None:
        self._connection = connection
        self.name, _, prefix = url.removeprefix("gs://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._answer: Answer | MetaMLFlowError | None = None

    def ask(self, path: str = "", params: Mapping[str, str] | None = None) -> Answer:
        """Make a request about the bucket."""
        request = Request("GET", f"/storage/v1/b/{quote(self.name, safe='')}{path}", params or {}, about="bucket")
        with translated_errors(f"gs://{self.name}", own=gcs_error):
            return self._connection.request(request)

    def answer(self) -> Answer:
        """Return the answer that holds the bucket's settings; the same one, or the same error, each time."""
        if self._answer is None:
            try:
                self._answer = self.ask(params={"projection": "noAcl"})
            except MetaMLFlowError as error:
                self._answer = error
        if isinstance(self._answer, MetaMLFlowError):
            raise self._answer
        return self._answer


def _packages() -> Observation:
    return Observation("ok", installed_versions("gcsfs", "google-auth", "aiohttp"))


def _credentials(connection: GCSConnection, url: str) -> Observation:
    with translated_errors(url, own=gcs_error):
        used = connection.filesystem.credentials
    kind = used.method or "given"
    if kind == "anon":
        return Observation("ok", "none are sent (token anon): enough to read a public bucket, and for emulators")
    held = used.credentials
    account = getattr(held, "service_account_email", None) or getattr(held, "account", None)
    made_of = f"{type(held).__module__}.{type(held).__name__}" if held is not None else "a bare token"
    return Observation("ok", f"token {kind}, {made_of}{f' of {account}' if account else ''}")


def _location(bucket: _Bucket) -> Observation:
    try:
        settings = bucket.answer().json()
    except AccessDeniedError as error:
        return Observation("unknown", error.message, _MAY_SEE)
    place = f"{settings.get('location', 'an unknown place')} ({settings.get('locationType', 'type unknown')})"
    return Observation("ok", f"it exists, in {place}, storage class {settings.get('storageClass', 'unknown')}")


def _clock(bucket: _Bucket) -> Observation:
    answer = bucket.ask("/o", {"prefix": bucket.prefix, "maxResults": "1", "fields": "nextPageToken"})
    now = datetime.now(UTC)
    date = answer.headers.get("Date")
    if not date:
        return Observation("unknown", "the server's answer has no date")
    return clock_finding(parsedate_to_datetime(date).astimezone(UTC), now)


def _checksums() -> Observation:
    return Observation("ok", "CRC32C is sent along, and what the server holds is compared")


def _permissions(bucket: _Bucket) -> Observation:
    """Ask the server which permissions these credentials have: https://cloud.google.com/storage/docs/json_api."""
    query = "&".join(f"permissions={name}" for name in _ASKED)
    try:
        held = bucket.ask(f"/iam/testPermissions?{query}").json().get("permissions", ())
    except StoreNotFoundError:  # the one answer for a bucket that is not there, and for a question nobody takes
        return Observation("unknown", "the server does not answer that question")
    missing = [name for name in _ASKED if name not in held]
    if not missing:
        return Observation("ok", f"{', '.join(held)} on the whole bucket")
    found = f"not on the whole bucket: {', '.join(missing)}"
    if missing == ["storage.objects.delete"]:
        return Observation("ok", f"{found}; only collecting needs it")
    return Observation(
        "warning",
        found,
        "Fine where they are granted for the store's prefix alone, which this question does not tell; else "
        "`metamlflow policy` prints what each role needs.",
    )


# --- settings ---------------------------------------------------------------------------------------------------------


def _setting(bucket: _Bucket, look: Any) -> Observation:
    try:
        settings = bucket.answer().json()
    except AccessDeniedError:
        return Observation("unknown", "these credentials may not see the bucket's settings", _MAY_SEE)
    finding: Observation = look(settings, bucket.prefix)
    return finding


def _versioning(settings: Mapping[str, Any], prefix: str) -> Observation:
    if not settings.get("versioning", {}).get("enabled"):
        return Observation("ok", "off: nothing that a store needs")
    rules = settings.get("lifecycle", {}).get("rule", ())
    if any(_deletes(rule) and _means_old_versions(rule) and _covers(rule, prefix) for rule in rules):
        return Observation("ok", "on, and old versions expire")
    return Observation(
        "warning",
        "on, and no lifecycle rule removes old versions: what is collected goes on taking space",
        "Add a rule that deletes noncurrent versions (daysSinceNoncurrentTime).",
    )


def _lifecycle(settings: Mapping[str, Any], prefix: str) -> Observation:
    rules = settings.get("lifecycle", {}).get("rule", ())
    harm = [
        f"a rule deletes objects where {rule.get('condition')}"
        for rule in rules
        if _deletes(rule) and not _means_old_versions(rule) and _concerns(rule, prefix)
    ]
    if harm:
        return Observation(
            "failed",
            "; ".join(harm),
            "Limit these rules to other prefixes (matchesPrefix): versions name objects that would be gone.",
        )
    return Observation("ok", f"{len(rules)} rules, none of which removes what is stored")


def _deletes(rule: Mapping[str, Any]) -> bool:
    return bool(rule.get("action", {}).get("type") == "Delete")


def _means_old_versions(rule: Mapping[str, Any]) -> bool:
    condition = rule.get("condition", {})
    return condition.get("isLive") is False or any(name in condition for name in _ONLY_OLD_VERSIONS)


def _concerns(rule: Mapping[str, Any], prefix: str) -> bool:
    wanted = rule.get("condition", {}).get("matchesPrefix")
    return not wanted or any(overlaps(start, prefix) for start in wanted)


def _covers(rule: Mapping[str, Any], prefix: str) -> bool:
    condition = rule.get("condition", {})
    wanted = condition.get("matchesPrefix")
    return "matchesSuffix" not in condition and (not wanted or any(prefix.startswith(start) for start in wanted))


def _retention(settings: Mapping[str, Any], _: str) -> Observation:
    policy = settings.get("retentionPolicy")
    held = " and new objects are put under an event-based hold" if settings.get("defaultEventBasedHold") else ""
    if not policy and not held:
        return Observation("ok", "none")
    days = int(policy.get("retentionPeriod", 0)) / _SECONDS_A_DAY if policy else 0
    locked = ", locked" if policy and policy.get("isLocked") else ""
    return Observation(
        "warning",
        f"objects are kept for {days:g} days{locked}{held}",
        "Until then nothing can be collected. That is fine if it is meant; else take the policy or the hold away.",
    )


def _soft_delete(settings: Mapping[str, Any], _: str) -> Observation:
    seconds = int(settings.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))
    if not seconds:
        return Observation("ok", "off")
    return Observation(
        "ok", f"{seconds / _SECONDS_A_DAY:g} days: what is collected can be brought back, and is billed, so long"
    )


def _uniform_access(settings: Mapping[str, Any], _: str) -> Observation:
    if settings.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {}).get("enabled"):
        return Observation("ok", "on")
    return Observation(
        "warning",
        "off: access lists of single objects count too, and roles cannot be limited to a prefix",
        "Switch uniform bucket-level access on, if nobody needs those lists.",
    )


def _encryption(settings: Mapping[str, Any], _: str) -> Observation:
    key = settings.get("encryption", {}).get("defaultKmsKeyName")
    return Observation("ok", f"the bucket's default: {key or 'keys of the provider'}")


_SETTINGS = {
    "versioning": _versioning,
    "lifecycle": _lifecycle,
    "retention": _retention,
    "soft-delete": _soft_delete,
    "uniform-access": _uniform_access,
    "encryption": _encryption,
}
