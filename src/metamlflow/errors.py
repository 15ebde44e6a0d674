"""Every error that metamlflow raises on purpose: one tree, grouped by the action that a caller would take.

Each error has a message (what happened and why), a ``hint`` (the remedy) and the facts as attributes. All are
picklable, so that they cross process pools. Secrets of URLs and control characters are removed from every message here,
whichever code raises it.
"""

from __future__ import annotations

from datetime import datetime
from errno import EROFS
from typing import Any, Self

from metamlflow.redaction import UNDECODED, printable, redact, without_secrets

__all__ = [
    "AccessDeniedError",
    "AddressNotFoundError",
    "AliasMovedError",
    "AlreadyExistsError",
    "ArtifactErasedError",
    "ArtifactNotFoundError",
    "ArtifactPrunedError",
    "ConflictError",
    "DamagedRecordWarning",
    "DestinationExistsError",
    "EvidenceUnavailableError",
    "FolderAddressError",
    "IntegrityError",
    "InvalidInputError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidPathError",
    "LineageWarning",
    "MetaMLFlowError",
    "MissingDependencyError",
    "NotFoundError",
    "ObjectNotFoundError",
    "OutcomeUnknownError",
    "PointerDriftError",
    "PointerPolicyError",
    "ReadOnlyError",
    "RunNotFoundError",
    "SignatureError",
    "SourceChangedError",
    "SourceNotFoundError",
    "StaleMetadataError",
    "StaleMetadataWarning",
    "StorageError",
    "StorageFullError",
    "StorageUnavailableError",
    "StoreFormatError",
    "StoreNotFoundError",
    "UnsupportedSourceError",
    "UnsupportedStoreError",
    "UntrustedContentError",
    "UnverifiedReadWarning",
    "redact",
]


class MetaMLFlowError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: the event and its cause.
        hint: the remedy, or None.
    """

    message: str
    hint: str | None

    def __init__(self, message: str, *, hint: str | None = None, **facts: Any) -> None:
        facts = {name: _fact(value) for name, value in facts.items()}
        self.message = _shown(message, facts)
        self.hint = hint and _shown(hint, facts)
        super().__init__(self.message)
        self._facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The default reduce calls the class with `args` alone and would lose hint and facts.
        return _rebuild, (type(self), self.message, self.hint, self._facts)

    def with_hint(self, hint: str) -> Self:
        """Set the hint and return the error, for code that knows the remedy better than the code that raised it."""
        self.hint = hint
        return self


def _fact(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_fact(item) for item in value)
    return without_secrets(value) if isinstance(value, str) else value


def _shown(text: str, facts: dict[str, Any]) -> str:
    """Return a message in which quoted values neither show secrets nor add lines."""
    for value in facts.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and "\n" in item:
                text = text.replace(item, printable(item))
    text = without_secrets(text)
    # Undecodable bytes of file names stay as Python's surrogates: the command line writes the original bytes.
    return text if text.isprintable() else printable(text, keep="\n" + UNDECODED)


def _rebuild(kind: type[MetaMLFlowError], message: str, hint: str | None, facts: dict[str, Any]) -> MetaMLFlowError:
    return kind(message, hint=hint, **facts)


# --- the requested thing does not exist: request another --------------------------------------------------------------


class NotFoundError(MetaMLFlowError, LookupError):
    """Something that was requested by name does not exist."""


class ArtifactNotFoundError(NotFoundError):
    """An artifact, a version, or a path inside an artifact does not exist.

    Attributes:
        name: the requested artifact name.
        version: the requested version, or None if the name itself is unknown.
        suggestions: existing names, versions or paths that are similar.
    """

    name: str = ""
    version: int | str | None = None
    suggestions: tuple[str, ...] = ()


class AddressNotFoundError(ArtifactNotFoundError, FileNotFoundError):
    """Nothing exists at an address ``metamlflow://…``. Also a FileNotFoundError, as other file systems raise it."""


class ArtifactPrunedError(NotFoundError):
    """The version exists, but its bytes were given up (pruned) or never copied to this store (absent).

    Attributes:
        name: the artifact name.
        version: the version number.
        pruned_at: when it was pruned, by the storage's clock, in UTC; None if it is absent.
        pruned_by: who pruned it; None if that was not recorded.
        reason: why it was pruned, or None if that was not said.
        restorable_until: until when ``client.restore`` undoes it; None if it is absent.
    """

    name: str = ""
    version: int = 0
    pruned_at: datetime | None = None
    pruned_by: str | None = None
    reason: str | None = None
    restorable_until: datetime | None = None


class ArtifactErasedError(NotFoundError):
    """The version was erased for good: nothing brings it back, and its number is never used again.

    Attributes:
        name: the artifact name.
        version: the version number.
        manifest_digest: of the erased manifest: what the next version and its consumers recorded.
        reason: why it was erased, or None if that was not said.
    """

    name: str = ""
    version: int = 0
    manifest_digest: str = ""
    reason: str | None = None


class RunNotFoundError(NotFoundError):
    """The store has no run with this id."""


class StoreNotFoundError(NotFoundError):
    """No store exists at this place. Only a write creates one.

    Attributes:
        uri: the place, redacted.
    """

    uri: str = ""


class SourceNotFoundError(NotFoundError, FileNotFoundError):
    """The file, folder or URL to be registered does not exist.

    Attributes:
        source: the path or redacted URL.
    """

    source: str = ""


# --- the call itself is wrong: change it ----------------------------------------------------------------------------


class InvalidInputError(MetaMLFlowError, ValueError):
    """An argument is invalid."""


class InvalidNameError(InvalidInputError):
    """A name, version or reference is malformed, or too long for the store.

    Attributes:
        value: the invalid value.
    """

    value: Any = None


class InvalidPathError(InvalidInputError):
    """File names cannot be logical paths of an artifact, or collide on the disk that they would be written to.

    Attributes:
        problems: one line for each invalid path.
    """

    problems: tuple[str, ...] = ()


class InvalidMetadataError(InvalidInputError):
    """A metadata value cannot be stored as JSON.

    Attributes:
        place: the path of the value, such as ``metadata.model.layers[2]``.
    """

    place: str = ""


class UnsupportedSourceError(InvalidInputError):
    """The source contains something other than data: sockets, devices, dangling or looping links.

    Attributes:
        problems: one line for each of them.
    """

    problems: tuple[str, ...] = ()


class EvidenceUnavailableError(InvalidInputError):
    """The requested evidence cannot be had without reading the data. Nothing was registered.

    Attributes:
        asked: the requested strength.
        choices: the available strengths, the closest first.
        problems: one line for each object found to lack it; in a prefix the first such object ends the search.
    """

    asked: str = ""
    choices: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class UntrustedContentError(InvalidInputError):
    """Loading the content as an object may run code that it holds, and the caller did not say that it is trusted.

    Attributes:
        types: the names of the types that are not known to be harmless, if the format tells them.
    """

    types: tuple[str, ...] = ()


class FolderAddressError(InvalidInputError, IsADirectoryError):
    """An address ``metamlflow://…`` leads to a folder, and a file is needed."""


class ReadOnlyError(MetaMLFlowError, OSError):
    """A write to an address ``metamlflow://…`` was asked for. Versions never change; nothing was written."""

    errno = EROFS


class MissingDependencyError(MetaMLFlowError, ImportError):
    """An optional package is needed for this call.

    Attributes:
        extra: the extra that installs it, as in ``pip install 'metamlflow[pandas]'``.
    """

    extra: str = ""


# --- something else is in the way: decide which one wins -------------------------------------------------------------


class ConflictError(MetaMLFlowError):
    """The call conflicts with the current state; nothing was changed."""


class AliasMovedError(ConflictError):
    """An alias does not stand for the version that the caller expected; somebody was faster. It was left as it is.

    Attributes:
        name: the artifact name.
        alias: the alias.
        expected: the expected version; 0 for none.
        current: the version that it stands for; 0 for none.
    """

    name: str = ""
    alias: str = ""
    expected: int = 0
    current: int = 0


class StaleMetadataError(ConflictError):
    """:class:`StaleMetadataWarning` as an error, for ``stale_metadata="error"``; nothing was registered."""


class DestinationExistsError(ConflictError, FileExistsError):
    """A download would overwrite something.

    Attributes:
        paths: the existing files.
    """

    paths: tuple[str, ...] = ()


class SourceChangedError(ConflictError):
    """A source changed while it was being registered. Nothing was registered.

    Attributes:
        source: the file that changed.
    """

    source: str = ""


class AlreadyExistsError(ConflictError):
    """A backend refused to create a key that exists. Callers of the library never see this error.

    Attributes:
        key: the key.
    """

    key: str = ""


# --- the data is wrong: stop and investigate ------------------------------------------------------------------------


class IntegrityError(MetaMLFlowError):
    """Stored bytes differ from the registered bytes. None of them was returned or left on disk.

    Attributes:
        expected: the recorded digest or size.
        actual: the digest or size that was found, or "missing".
        path: the logical path inside the artifact, if any.
        key: the key in the store.
    """

    expected: str = ""
    actual: str = ""
    path: str | None = None
    key: str | None = None


class PointerDriftError(IntegrityError):
    """Pointed data changed since it was registered, or is gone. None of it was returned.

    Attributes:
        expected: the registered evidence: a digest, an ETag, a version, a size or a time.
        actual: the value that was found, or "missing".
        path: the logical path inside the artifact, if known.
        key: the URI of the data.
    """


class SignatureError(IntegrityError):
    """A version has no valid signature by a trusted key.

    Attributes:
        expected: the ids of the trusted keys, shortened.
        actual: the signatures that were found.
    """


class UnverifiedReadWarning(UserWarning):
    """Content was checked by ETag or version alone, since the package that computes its digest is not installed."""


class StoreFormatError(MetaMLFlowError):
    """A document in the store cannot be read as format 1: it is damaged, hostile, or newer than this library.

    Attributes:
        key: the document's key.
        problems: everything wrong with it, each with its place in the document.
    """

    key: str = ""
    problems: tuple[str, ...] = ()


class LineageWarning(UserWarning):
    """Lineage of an artifact could not be determined or recorded; the job continues."""


class StaleMetadataWarning(UserWarning):
    """A new version seems to carry the metadata of the previous one; the message says what changed and what did not."""


class DamagedRecordWarning(UserWarning):
    """A listing or a page omits something because its record cannot be read; the message says which, and why."""


# --- the storage failed: fix the access, or try again -----------------------------------------------------------------


class StorageError(MetaMLFlowError):
    """The storage failed.

    Attributes:
        key: the key or URL concerned, redacted, if any.
    """

    key: str = ""


class ObjectNotFoundError(StorageError, LookupError):
    """A key does not exist. Readers translate it into its meaning: an unknown version, a lost blob."""


class AccessDeniedError(StorageError, PermissionError):
    """The storage refused the credentials or permissions in use."""


class PointerPolicyError(StorageError):
    """A pointer leads to a place that the client's ``pointer_policy`` does not allow. Nothing was opened.

    Attributes:
        key: the URI, redacted.
    """


class StorageFullError(StorageError):
    """No space is left on the store's disk or on the disk for temporary files."""


class StorageUnavailableError(StorageError):
    """The storage did not answer, or answered with a failure that may be temporary.

    Attributes:
        throttled: whether the storage asked for fewer requests; creations are then retried for longer.
    """

    throttled: bool = False


class OutcomeUnknownError(StorageError):
    """A commit may or may not have happened, and reading it back did not show which.

    Attributes:
        name: the artifact name, if a version was being committed.
        version: the number that was being claimed.
        record_id: the id that the record has if it was written.
    """

    name: str = ""
    version: int | None = None
    record_id: str = ""


class UnsupportedStoreError(StorageError):
    """This storage does not guarantee something that the format needs, such as creating a key exactly once."""
