"""From what GCS and its clients answer to our errors: one table, with what to do about each."""

from __future__ import annotations

import json
from typing import Any

from metamlflow.backend.error_rows import ErrorRow, said_by_client, said_by_server
from metamlflow.backend.translation import causes_of, row_of
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    StoreNotFoundError,
    UnsupportedStoreError,
    redact,
)

_LATER = "Nothing was lost. Try again; if it stays, lower the load on the bucket or look at the provider's status page."
_LOGIN = "Log in again: `gcloud auth application-default login`, or refresh the service account's key."
_ROLES = (
    "The account needs storage.objects.get, .list, .create and .delete on the bucket; roles/storage.objectUser has "
    "them, and roles/storage.objectViewer is enough to read. `gcloud auth list` shows whose account is in use."
)
_NO_CREDENTIALS = (
    "Log in with `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS, or give "
    "storage_options={'token': ...}; a public bucket needs {'token': 'anon'}."
)
_BILLING = "Set storage_options={'requester_pays': '<your project id>'}; that project is billed for the requests."
_PROJECT = "Check `project` and `requester_pays` in storage_options: they take a project's id, not its title."
_BUCKET = (
    "Create it, or check its name and endpoint_url. If it was deleted lately, soft delete may still hold it: "
    "`gcloud storage buckets list --soft-deleted`."
)
_RETENTION = "A retention policy or a hold keeps it. Wait until it ends, or ask the bucket's owner."
_KMS = (
    "Give the project's Cloud Storage service agent roles/cloudkms.cryptoKeyEncrypterDecrypter on the key, and check "
    "that the key is enabled and in the bucket's location."
)
_NETWORK = "Check the network, endpoint_url and the proxy settings; nothing was lost."
_NO_API = (
    "Check endpoint_url: it is the API's address, not that of a web console or of a proxy's login page. If that is "
    "right, try again, and look for a proxy that alters data."
)
_CLOCK = "Set this machine's clock (NTP) and try again; if the clock is right, log in again."

_NO_BUCKET: ErrorRow = (StoreNotFoundError, "the bucket does not exist", _BUCKET)
_NO_SESSION: ErrorRow = (StorageUnavailableError, "the upload's session has ended", "Try again; nothing was stored.")
# Phrases of the server's messages, the most telling first: one status and reason stand for several of these.
_BY_TEXT: tuple[tuple[str, ErrorRow], ...] = (
    ("doesn't match calculated", (IntegrityError, "the data was damaged on its way", "Try again; nothing was stored.")),
    ("answers with a web page", (StorageError, "the endpoint is not that of the API", _NO_API)),
    ("requester pays", (StorageError, "the bucket makes the requester pay", _BILLING)),
    ("userprojectmissing", (StorageError, "the bucket makes the requester pay", _BILLING)),
    ("serviceusage.services.use", (AccessDeniedError, "the project may not be billed by this account", _PROJECT)),
    ("user project", (StorageError, "the project to bill is not valid", _PROJECT)),
    ("unknown project", (StorageError, "the project is not known", _PROJECT)),
    ("bucket does not exist", _NO_BUCKET),
    ("cloud kms", (AccessDeniedError, "the encryption key cannot be used", _KMS)),
    ("vpcservicecontrols", (AccessDeniedError, "the organization's policy forbids it", "Ask its administrator.")),
    (
        "storage.objects.list",
        (
            AccessDeniedError,
            "the account may not list the bucket's objects",
            f"Finding the latest version is a listing. {_ROLES}",
        ),
    ),
    ("anonymous caller", (AccessDeniedError, "no credentials were sent, and the bucket is private", _NO_CREDENTIALS)),
)
# Reasons as the JSON API's reference lists them.
_BY_REASON: dict[str, ErrorRow] = {
    "rateLimitExceeded": (StorageUnavailableError, "the server throttles requests", _LATER),
    "userRateLimitExceeded": (StorageUnavailableError, "the server throttles requests", _LATER),
    "quotaExceeded": (StorageUnavailableError, "a quota of the project is used up", "Wait, or raise the quota."),
    "insufficientPermissions": (
        AccessDeniedError,
        "the token's scope does not cover this",
        "Use a token with the scope devstorage.read_write, or storage_options={'access': 'read_write'}.",
    ),
    "accountDisabled": (AccessDeniedError, "the project's account is disabled", "Check the project's billing."),
    "accessNotConfigured": (
        AccessDeniedError,
        "the project has not switched on the Cloud Storage API",
        "Run `gcloud services enable storage.googleapis.com`.",
    ),
    "retentionPolicyNotMet": (AccessDeniedError, "the object may not be removed yet", _RETENTION),
    "objectUnderActiveHold": (AccessDeniedError, "the object is under a hold", _RETENTION),
    "uploadTooLarge": (StorageError, "the object is too large", "One object may have up to 5 TiB."),
}
_BY_STATUS: dict[int, ErrorRow] = {
    401: (AccessDeniedError, "the credentials are not valid or have expired", _LOGIN),
    403: (AccessDeniedError, "access is denied", _ROLES),
    408: (StorageUnavailableError, "the request took too long", _LATER),
    409: (StorageUnavailableError, "another operation is under way", _LATER),
    412: (AlreadyExistsError, "the key exists already", None),
    416: (StorageError, "the range is outside of the object", None),
    429: (StorageUnavailableError, "the server throttles requests", _LATER),
    501: (UnsupportedStoreError, "the server does not know such requests", _NO_API),
    503: (StorageUnavailableError, "the server is overloaded", _LATER),
}
# What a 404 or 410 says is missing depends on what was asked for; emulators say no more than "Not Found".
_BY_MISSING: dict[str, ErrorRow] = {
    "object": (ObjectNotFoundError, "there is no such object", None),
    "bucket": _NO_BUCKET,
    "session": _NO_SESSION,
}
# A limit on requests: of one object name one write a second. The API's reference gives 429, and 403 for some limits.
_TOO_MANY, _FORBIDDEN = 429, 403
_LIMITS = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
_MOST_DIGITS = 20  # Python reads some thousands of them, and refuses more
_MOST_SAID = 1000  # characters of a server's message that are shown
_OTHER: ErrorRow = (StorageError, "the server refused the request", "See what the server said.")
# Clients' own errors, by the names of their classes: they are imported only by who uses them.
_BY_LOGIN_CLASS: dict[str, ErrorRow] = {
    "DefaultCredentialsError": (AccessDeniedError, "there are no credentials", _NO_CREDENTIALS),
    "ReauthFailError": (AccessDeniedError, "the login has expired", _LOGIN),
    "RefreshError": (AccessDeniedError, "the credentials could not be refreshed", _LOGIN),
    "TransportError": (StorageUnavailableError, "the login service cannot be reached", _NETWORK),
    "GoogleAuthError": (AccessDeniedError, "the credentials cannot be used", _LOGIN),
    "NonRetryableError": (AccessDeniedError, "the credentials cannot be refreshed", _LOGIN),
}
_BY_CLASS: dict[str, ErrorRow] = {
    "ClientConnectorDNSError": (StorageUnavailableError, "the endpoint's name cannot be resolved", _NETWORK),
    "ClientSSLError": (StorageUnavailableError, "the endpoint cannot be trusted or speaks no TLS", _NETWORK),
    "ClientProxyConnectionError": (StorageUnavailableError, "the proxy cannot be reached", _NETWORK),
    "ServerTimeoutError": (StorageUnavailableError, "the endpoint did not answer in time", _NETWORK),
    "ClientConnectorError": (StorageUnavailableError, "the endpoint cannot be reached", _NETWORK),
    "ClientPayloadError": (StorageUnavailableError, "the answer broke off", _NETWORK),
    "InvalidURL": (
        StorageError,
        "the endpoint is no URL",
        "Write endpoint_url like http://localhost:4443.",
    ),
    "ConnectionError": (StorageUnavailableError, "the connection broke", _NETWORK),
    "TimeoutError": (StorageUnavailableError, "the endpoint did not answer in time", _NETWORK),
}


class Refusal(Exception):  # noqa: N818 (an answer of the server, before the table has said which error it is)
    """A request that the server did not grant.

    Attributes:
        status: of HTTP.
        reason: the API's own word, such as ``rateLimitExceeded``; may be empty.
        said: the server's message.
        about: what the request needed to be there: ``object``, ``bucket`` or ``session``.
    """

    def __init__(self, status: int, reason: str, said: str, about: str = "object") -> None:
        super().__init__(status, reason, said, about)
        self.status, self.reason, self.said, self.about = status, reason, said, about


class UnreadableAnswer(Exception):  # noqa: N818 (as above)
    """An answer that says that all is well and is not what the API documents, or not what was stored."""


def refusal_of(status: int, body: bytes, about: str = "object") -> Refusal:
    """Read what the server said: a JSON error of the API, or what a proxy on the way had to say."""
    text = body.decode("utf-8", "replace").strip()
    try:
        error = json.loads(text)["error"]
        details: Any = (error.get("errors") or [{}])[0]
        reason = str(details.get("reason") or "")[:_MOST_SAID]
        return Refusal(status, reason, str(error.get("message") or "")[:_MOST_SAID], about)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return Refusal(status, "", text[:200], about)


def number_in(header: str) -> int | None:
    """Return the number of bytes that a header tells, or None if it tells none."""
    return int(header) if header.isascii() and header.isdecimal() and len(header) < _MOST_DIGITS else None


def gcs_error(error: BaseException) -> MetaMLFlowError | None:
    """Return our error for what a GCS client raised, or None if it is nothing of GCS's."""
    causes = causes_of(error, implied=True)
    for cause in causes:
        if isinstance(cause, Refusal):
            return _refused(cause)
        if isinstance(cause, UnreadableAnswer):
            return StorageUnavailableError(f"the answer cannot be used: {cause}", hint=_NO_API)
    # The login's own error is the root; gcsfs hides it under an HTTP error that it makes up.
    for table, order in ((_BY_LOGIN_CLASS, reversed(causes)), (_BY_CLASS, iter(causes))):
        for cause in order:
            if (row := row_of(cause, table)) is not None:
                return said_by_client(row, _told(cause), hint=_CLOCK if "iat and exp" in str(cause) else None)
    for cause in causes:
        if type(cause).__module__.partition(".")[0] in {"aiohttp", "requests", "urllib3", "google", "gcsfs"}:
            return StorageUnavailableError(f"the endpoint did not answer as it should: {_told(cause)}", hint=_NETWORK)
    return None


def credentials_error(error: Exception) -> MetaMLFlowError:
    """Return our error for what kept gcsfs from being set up; its message shows no token, and it has no cause."""
    known = gcs_error(error)
    if known is not None:
        return known
    if isinstance(error, OSError):
        return AccessDeniedError(f"the credentials cannot be read: {_told(error)}", hint=_NO_CREDENTIALS)
    if isinstance(error, ValueError) and "does not match the google default project" in str(error):
        return InvalidInputError("`project` is not the project of the credentials in use", hint=_PROJECT)
    if isinstance(error, ValueError | KeyError) and "access must be" not in str(error):
        return AccessDeniedError("the token is not valid, has expired, or is no token", hint=_NO_CREDENTIALS)
    return InvalidInputError(f"gcsfs does not take these storage options: {_told(error)}")


def _refused(refusal: Refusal) -> MetaMLFlowError:
    lower = f"{refusal.reason} {refusal.said}".lower()
    row = next((row for phrase, row in _BY_TEXT if phrase in lower), None)
    if row is None and refusal.status in {404, 410}:
        row = _BY_MISSING[refusal.about]
    row = row or _BY_REASON.get(refusal.reason) or _BY_STATUS.get(refusal.status)
    if row is None:
        row = (StorageUnavailableError, "the server failed", _LATER) if refusal.status >= 500 else _OTHER  # noqa: PLR2004
    said = " ".join(str(part) for part in (refusal.status, refusal.reason, redact(refusal.said)) if part)
    throttled = refusal.status == _TOO_MANY or (refusal.reason in _LIMITS and refusal.status == _FORBIDDEN)
    facts = {"throttled": True} if throttled and row[0] is StorageUnavailableError else {}
    return said_by_server(row, said, **facts)


def _told(error: BaseException) -> str:
    return redact(str(error)) or type(error).__name__
