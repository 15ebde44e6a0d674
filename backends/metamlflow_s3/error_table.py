"""From what S3 and its clients answer to our errors: one table, with what to do about each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metamlflow.backend.error_rows import ErrorRow, said_by_client, said_by_server
from metamlflow.backend.tags import bare_tag
from metamlflow.backend.translation import causes_of, row_of
from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    StoreNotFoundError,
    UnsupportedStoreError,
    redact,
)

_LATER = "Nothing was lost. Try again; if it stays, lower the load on the bucket or look at the provider's status page."
_KEYS = "Check the credentials in use: `aws sts get-caller-identity` shows whose they are."
_LOGIN = "Log in again (for example `aws sso login`), or refresh the credentials, and try again."
_REGION = "Set the bucket's region, for example storage_options={'client_kwargs': {'region_name': 'eu-central-1'}}."
_REDIRECTED = f"Check endpoint_url. {_REGION}"
_OWNER = "Ask the owner of the account."
_NETWORK = "Check the network, the endpoint_url and the proxy settings. Nothing was lost; try again."
_TLS = (
    "Check endpoint_url (http or https?) and the certificates: client_kwargs={'verify': '/path/to/ca.pem'} or "
    "AWS_CA_BUNDLE names the authority of a private one."
)
_CREDENTIALS = (
    "Give credentials in storage_options (key and secret, or profile), in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or with `aws configure`; a public bucket needs storage_options={'anon': True}."
)
_DENIED = (
    "The credentials lack a permission on this key: `metamlflow policy` prints what a reader and a writer need. "
    "Without s3:ListBucket, S3 denies a missing key instead of saying that it is missing."
)
_KMS = "The credentials need kms:GenerateDataKey and kms:Decrypt on the key, which must be enabled."
_ARCHIVED = (
    "Restore it (for example with `aws s3api restore-object`), then try again. Keep lifecycle rules that archive away "
    "from a store's prefix."
)
_NOT_S3 = "Check endpoint_url: it is the API's address, not that of a web console or of a proxy's login page."
_UNSAID = "S3 gives no reason to such a request: an expired token, a wrong region and wrong options are the usual ones."
_DAMAGED = "Try again; nothing was stored. If it stays, look for a proxy or memory that alters data."
_CREATE = "Create it, or check its name and endpoint_url."
_SPACE = "Free some space or raise the quota, and try again; nothing was lost."

_THERE: ErrorRow = (AlreadyExistsError, "the key exists already", None)
_ABSENT: ErrorRow = (ObjectNotFoundError, "there is no such object", None)
_REFUSED: ErrorRow = (AccessDeniedError, "access is denied", _DENIED)
_EXPIRED: ErrorRow = (AccessDeniedError, "the session token has expired", _LOGIN)
_ELSEWHERE: ErrorRow = (StorageError, "the bucket is in another region", _REGION)
_THROTTLED: ErrorRow = (StorageUnavailableError, "the server throttles requests", _LATER)
_FAILED: ErrorRow = (StorageUnavailableError, "the server failed", _LATER)
WEB_PAGE: ErrorRow = (StorageError, "the endpoint answers with a web page and does not speak S3", _NOT_S3)
MISSING_BUCKET: ErrorRow = (
    StoreNotFoundError,
    "the bucket does not exist",
    "Create it, or check its name and endpoint_url.",
)
_SPOILED: ErrorRow = (IntegrityError, "the data was damaged on its way", _DAMAGED)
_FULL: ErrorRow = (StorageFullError, "the server has no space left for this", _SPACE)
_RELAX = (
    "Servers from before 2025 do not know the checksums that go along: set storage_options={'config_kwargs': "
    "{'request_checksum_calculation': 'when_required'}}, or AWS_REQUEST_CHECKSUM_CALCULATION=when_required. If that is "
    "set, this server cannot hold a store: see the table in docs/s3.md."
)
_UNCONDITIONAL = "This server cannot hold a store, for it knows no conditional writes. See the table in docs/s3.md."
_UNENCRYPTED = "Leave the encryption out of s3_additional_kwargs, or use a server that knows it."
_UNSUPPORTED = re.compile(
    r"unsupported (?:header|value)|header you provided|not (?:implemented|supported)|unknown header", re.IGNORECASE
)
_OPTIONS = (
    (re.compile(r"if-none-match|conditional|precondition", re.IGNORECASE), _UNCONDITIONAL),
    (re.compile(r"encrypt|x-amz-server-side|kms|SSE", re.IGNORECASE), _UNENCRYPTED),
    (re.compile(r"if-match", re.IGNORECASE), "Set storage_options={'local_expiry_check': True}."),
    (re.compile(r"x-amz-acl|canned acl", re.IGNORECASE), "Leave ACL out of s3_additional_kwargs."),
    (re.compile(r"storage.class", re.IGNORECASE), "Leave StorageClass out of s3_additional_kwargs."),
    (re.compile(r"tagging", re.IGNORECASE), "Leave Tagging out of s3_additional_kwargs."),
)
_UNKNOWN_REQUEST: ErrorRow = (UnsupportedStoreError, "the server does not implement this request", _RELAX)

# Codes as the S3 API reference and its imitators give them; bare numbers answer HEAD, which has no body.
_BY_CODE: dict[str, ErrorRow] = {
    "PreconditionFailed": _THERE,
    "412": _THERE,
    "NoSuchKey": _ABSENT,
    "NotFound": _ABSENT,
    "404": _ABSENT,
    "NoSuchVersion": (ObjectNotFoundError, "there is no such object version", None),
    "NoSuchBucket": MISSING_BUCKET,
    # Completed or aborted meanwhile: what was sent in parts has to be sent again.
    "NoSuchUpload": (StorageUnavailableError, "the unfinished upload is gone", _LATER),
    "ConditionalRequestConflict": (StorageUnavailableError, "another write to this key is under way", _LATER),
    "OperationAborted": (StorageUnavailableError, "another operation on this key is under way", _LATER),
    "AccessDenied": _REFUSED,
    "AccountProblem": (AccessDeniedError, "there is a problem with the account", _OWNER),
    "AllAccessDisabled": (AccessDeniedError, "all access to the bucket is disabled", _OWNER),
    "InvalidAccessKeyId": (AccessDeniedError, "the access key is not known to this endpoint", _KEYS),
    "SignatureDoesNotMatch": (AccessDeniedError, "the secret key does not belong to the access key", _KEYS),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": (AccessDeniedError, "the session token is not valid here", _LOGIN),
    "RequestTimeTooSkewed": (AccessDeniedError, "this machine's clock is wrong", "Set the clock (NTP) and try again."),
    "RequestExpired": (AccessDeniedError, "this machine's clock is wrong", "Set the clock (NTP) and try again."),
    "PermanentRedirect": _ELSEWHERE,
    "TemporaryRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": (StorageError, "the request was signed for another region", _REGION),
    "IllegalLocationConstraintException": _ELSEWHERE,
    "301": _ELSEWHERE,
    "307": _ELSEWHERE,
    "InvalidObjectState": (StorageError, "the object is archived", _ARCHIVED),
    "BadDigest": _SPOILED,
    "InvalidDigest": _SPOILED,
    "XAmzContentSHA256Mismatch": _SPOILED,
    "XAmzContentChecksumMismatch": _SPOILED,
    "RequestTimeout": _FAILED,
    "InternalError": _FAILED,
    "ServiceUnavailable": _THROTTLED,
    "SlowDown": _THROTTLED,
    "SlowDownRead": _THROTTLED,
    "SlowDownWrite": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "TooManyRequests": _THROTTLED,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "InvalidBucketName": (InvalidInputError, "this is no bucket name", "Check the store's URI."),
    "KeyTooLongError": (InvalidInputError, "the key is too long", "Use a shorter prefix for the store."),
    "NotImplemented": _UNKNOWN_REQUEST,
    "XNotImplemented": _UNKNOWN_REQUEST,
    "UnsupportedHeader": _UNKNOWN_REQUEST,
    "501": _UNKNOWN_REQUEST,
    "MethodNotAllowed": (StorageError, "the server does not take this request here", _NOT_S3),
    "400": (StorageError, "the server refused the request", _UNSAID),
}
_FULL_DISK, _SERVER_ERROR, _NOT_IMPLEMENTED = 507, 500, 501
_REFUSALS_OF_FEATURES = frozenset({400, 405})
_PAGES = frozenset({400, 401, 403, 405})
_BY_STATUS: dict[int, ErrorRow] = {
    301: _ELSEWHERE,
    403: _REFUSED,
    404: _ABSENT,
    409: _BY_CODE["OperationAborted"],
    412: _THERE,
    429: _THROTTLED,
    503: _THROTTLED,
    _NOT_IMPLEMENTED: _UNKNOWN_REQUEST,
    _FULL_DISK: _FULL,
}
# Clients' own errors, by the names of their classes: botocore and aiohttp are imported only by who uses them.
_BY_CLASS: dict[str, ErrorRow] = {
    "NoCredentialsError": (AccessDeniedError, "there are no credentials", _CREDENTIALS),
    "PartialCredentialsError": (AccessDeniedError, "the credentials are incomplete", _CREDENTIALS),
    "CredentialRetrievalError": (AccessDeniedError, "the credentials could not be fetched", _CREDENTIALS),
    "MetadataRetrievalError": (AccessDeniedError, "the credentials could not be fetched", _CREDENTIALS),
    "UnknownCredentialError": (AccessDeniedError, "the credentials could not be fetched", _CREDENTIALS),
    "ProfileNotFound": (AccessDeniedError, "there is no such profile", _CREDENTIALS),
    "ConfigParseError": (AccessDeniedError, "the configuration of credentials cannot be read", _CREDENTIALS),
    "TokenRetrievalError": (AccessDeniedError, "the login has expired", _LOGIN),
    "NoAuthTokenError": (AccessDeniedError, "there is no login", _LOGIN),
    "SSOError": (AccessDeniedError, "the login is missing or has expired", _LOGIN),
    "LoginError": (AccessDeniedError, "the login is missing or has expired", _LOGIN),
    "NoRegionError": (InvalidInputError, "no region is set", _REGION),
    "InvalidRegionError": (InvalidInputError, "this is no region", _REGION),
    "SSLError": (StorageUnavailableError, "the endpoint cannot be trusted, or speaks no TLS", _TLS),
    "ConnectionError": (StorageUnavailableError, "the endpoint cannot be reached", _NETWORK),
    "TimeoutError": (StorageUnavailableError, "the endpoint did not answer in time", _NETWORK),
    "HTTPClientError": (StorageUnavailableError, "the connection broke off", _NETWORK),
    "IncompleteReadError": (StorageUnavailableError, "the answer broke off", _NETWORK),
    "FlexibleChecksumError": (StorageUnavailableError, "the answer was damaged on its way", _NETWORK),
    "ClientError": (StorageUnavailableError, "the connection broke off", _NETWORK),  # aiohttp's; botocore's has answers
    "ResponseParserError": (StorageError, "the endpoint does not speak S3", _NOT_S3),
    "BotoCoreError": (InvalidInputError, "the request is not valid", "Check the store's URI and its options."),
}
_PARTS = re.compile(r"-([0-9]{1,5})$")
_MOST_SAID = 300  # characters; a web page may be the answer


def s3_error(error: BaseException) -> MetaMLFlowError | None:
    """Return our error for what an S3 client raised (ours as it is), or None if it is nothing of S3's."""
    if isinstance(error, MetaMLFlowError):
        return error
    for cause in causes_of(error):
        if isinstance(cause, RecursionError):
            # After a redirect botocore asks for the bucket's region, and takes a redirect of that question likewise.
            return StorageError("the server redirects requests and does not say to where", hint=_REDIRECTED)
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and ("Error" in response or "ResponseMetadata" in response):
            return answered({"Error": {}, **response})
        # Their order decides: a TLS error is a connection error is an error of botocore.
        if (row := row_of(cause, _BY_CLASS)) is not None:
            if any(isinstance(reason, UnicodeDecodeError) for reason in causes_of(cause, implied=True)):
                row = _BY_CLASS["ResponseParserError"]  # a header that is no text: asked again, it is the same
            return said_by_client(row, _shown(str(cause) or type(cause).__name__))
    return None


def says_no_more_than_denied(error: MetaMLFlowError) -> bool:
    """Whether a refusal gives no reason, such as the credentials or a key of encryption."""
    return isinstance(error, _REFUSED[0]) and error.hint == _REFUSED[2]


def status_of(error: BaseException) -> int:
    """Return the HTTP status of the answer that an error came from; 0 if there was none."""
    for cause in causes_of(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0


def parts_of(answer: Mapping[str, Any]) -> int:
    """Return of how many parts an object was made, as its ETag tells; 0 if it was sent at once, or it does not tell."""
    parts = _PARTS.search(bare_tag(answer.get("ETag")))
    return int(parts[1]) if parts else 0


def is_composite(answer: Mapping[str, Any]) -> bool:
    """Whether the checksums of an object are over those of its parts; where nothing says so, its ETag does."""
    kind = answer.get("ChecksumType")
    return kind == "COMPOSITE" or (kind is None and parts_of(answer) > 0)


def answered(response: Mapping[str, Any]) -> MetaMLFlowError:
    """Return our error for a refusal, as the client parsed it."""
    code, message = (str(response["Error"].get(name) or "") for name in ("Code", "Message"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind = _headers_of(response).get("content-type", "")
    # 404 and 5xx may be pages of a proxy before a good server.
    row = WEB_PAGE if status in _PAGES and "html" in kind else _row(code, message, status)
    said = _shown(": ".join(part for part in (code, message) if part) or f"status {status}")
    hint = _option(message) if row is _UNKNOWN_REQUEST else row[2]
    if hint == _REGION and (region := _region_of(response)):
        hint = f"{hint.partition(',')[0]}: storage_options={{'client_kwargs': {{'region_name': '{region}'}}}}."
    return said_by_server((row[0], row[1], hint), said)


def _row(code: str, message: str, status: int) -> ErrorRow:
    if code.startswith("KMS.") or (code == "AccessDenied" and "kms:" in message):
        return AccessDeniedError, "the encryption key cannot be used", _KMS
    if status in _REFUSALS_OF_FEATURES and _UNSUPPORTED.search(message):
        return _UNKNOWN_REQUEST
    if row := _BY_CODE.get(code) or _BY_STATUS.get(status):
        return row
    if status >= _SERVER_ERROR:
        return _FAILED
    return StorageError, "the server refused the request", "See what the server said, and docs/s3.md."


def _option(message: str) -> str:
    """Return which option to set where a server does not know what a request asks for."""
    for pattern, option in _OPTIONS:
        if pattern.search(message):
            return option
    return _RELAX


def _region_of(response: Mapping[str, Any]) -> str | None:
    region: str | None = _headers_of(response).get("x-amz-bucket-region") or response["Error"].get("Region")
    return region


def _headers_of(response: Mapping[str, Any]) -> Mapping[str, str]:
    headers: Mapping[str, str] = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _shown(text: str) -> str:
    text = redact(" ".join(text.split()))
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
