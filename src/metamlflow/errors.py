"""Every error that metamlflow raises on purpose: one tree, grouped by what a caller would do about it.

Each error says what happened and why (its message) and what to do (its ``hint``); the facts are attributes. All are
picklable, so that they cross process pools unharmed. None carries a secret of a URL, and none a control character: both
are taken out of the message here, whoever wrote it.
"""

from __future__ import annotations

from typing import Any, Self

from metamlflow.redaction import UNDECODED, printable, redact, without_secrets

__all__ = [
    "AccessDeniedError",
    "AlreadyExistsError",
    "ArtifactNotFoundError",
    "ArtifactPrunedError",
    "ConflictError",
    "DamagedRecordWarning",
    "DestinationExistsError",
    "EvidenceUnavailableError",
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
    "UnverifiedReadWarning",
    "redact",
]


class MetaMLFlowError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: what happened, and why.
        hint: what to do about it, or None.
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
        """Set the remedy and return the error, for code that knows more than the place that raised it."""
        self.hint = hint
        return self


def _fact(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_fact(item) for item in value)
    return without_secrets(value) if isinstance(value, str) else value


def _shown(text: str, facts: dict[str, Any]) -> str:
    """Return a text of several lines in which no value that it quotes makes a line of its own."""
    for value in facts.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, str) and "\n" in item:
                text = text.replace(item, printable(item))
    text = without_secrets(text)
    # Bytes of a file name that are not text stay as Python holds them: the command line shows them as they are.
    return text if text.isprintable() else printable(text, keep="\n" + UNDECODED)


def _rebuild(kind: type[MetaMLFlowError], message: str, hint: str | None, facts: dict[str, Any]) -> MetaMLFlowError:
    return kind(message, hint=hint, **facts)


# --- the thing asked for is not there: ask for another ---------------------------------------------------------------


class NotFoundError(MetaMLFlowError, LookupError):
    """Something that was asked for by name does not exist."""


class ArtifactNotFoundError(NotFoundError):
    """No such artifact, version, or path inside an artifact.

    Attributes:
        name: the artifact name that was asked for.
        version: the version that was asked for, or None if the name itself is unknown.
        suggestions: names, versions or paths that do exist and may have been meant.
    """

    name: str = ""
    version: int | str | None = None
    suggestions: tuple[str, ...] = ()


class ArtifactPrunedError(NotFoundError):
    """The version exists, but its bytes were given up (pruned) or were never brought here (absent).

    Attributes:
        name: the artifact name.
        version: the version number.
    """

    name: str = ""
    version: int = 0


class RunNotFoundError(NotFoundError):
    """There is no run with this id in the store."""


class StoreNotFoundError(NotFoundError):
    """There is no store at this place. Only a write creates one.

    Attributes:
        uri: the place that was looked at, redacted.
    """

    uri: str = ""


class SourceNotFoundError(NotFoundError, FileNotFoundError):
    """The file, folder or URL that was to be registered does not exist.

    Attributes:
        source: the path or redacted URL.
    """

    source: str = ""


# --- the call itself is wrong: change it ----------------------------------------------------------------------------


class InvalidInputError(MetaMLFlowError, ValueError):
    """An argument cannot be accepted as it is."""


class InvalidNameError(InvalidInputError):
    """A name, version or reference is not well formed, or too long for the store.

    Attributes:
        value: what was given.
    """

    value: Any = None


class InvalidPathError(InvalidInputError):
    """File names cannot be logical paths of an artifact, or collide on the disk they are to be written to.

    Attributes:
        problems: one line for each path at fault.
    """

    problems: tuple[str, ...] = ()


class InvalidMetadataError(InvalidInputError):
    """A metadata value cannot be stored as JSON.

    Attributes:
        place: where it stands, such as ``metadata.model.layers[2]``.
    """

    place: str = ""


class UnsupportedSourceError(InvalidInputError):
    """What was to be registered holds things that are no data: sockets, devices, dangling or looping links.

    Attributes:
        problems: one line for each of them.
    """

    problems: tuple[str, ...] = ()


class EvidenceUnavailableError(InvalidInputError):
    """The evidence that was asked for is not to be had without reading the data. Nothing was registered.

    Attributes:
        asked: the strength that was asked for.
        choices: the strengths that can be had instead, the next one first.
        problems: one line for each object that was found to lack it; of a prefix the first ends the search.
    """

    asked: str = ""
    choices: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class MissingDependencyError(MetaMLFlowError, ImportError):
    """An optional package is needed for this call.

    Attributes:
        extra: the extra that brings it, as in ``pip install 'metamlflow[pandas]'``.
    """

    extra: str = ""


# --- something else is in the way: decide which one wins -------------------------------------------------------------


class ConflictError(MetaMLFlowError):
    """The state of the world contradicts the call; nothing was changed."""


class StaleMetadataError(ConflictError):
    """What :class:`StaleMetadataWarning` tells, for a client that takes it for an error. Nothing was registered."""


class DestinationExistsError(ConflictError, FileExistsError):
    """A download would overwrite something.

    Attributes:
        paths: what is in the way.
    """

    paths: tuple[str, ...] = ()


class SourceChangedError(ConflictError):
    """A source changed while it was being registered. Nothing was registered.

    Attributes:
        source: the file that changed.
    """

    source: str = ""


class AlreadyExistsError(ConflictError):
    """A backend refused to create a key because it exists. Callers of the library never see it.

    Attributes:
        key: the key.
    """

    key: str = ""


# --- the data is wrong: stop and look -------------------------------------------------------------------------------


class IntegrityError(MetaMLFlowError):
    """Stored bytes are not the bytes that were registered. None of them was handed out or left behind.

    Attributes:
        expected: the recorded digest or size.
        actual: what was found, or "missing".
        path: the logical path inside the artifact, where there is one.
        key: the key in the store.
    """

    expected: str = ""
    actual: str = ""
    path: str | None = None
    key: str | None = None


class PointerDriftError(IntegrityError):
    """Data that an artifact points to is no longer what was registered, or is gone. None of it was handed out.

    Attributes:
        expected: what was registered: a digest, an ETag, a version, a size or a time.
        actual: what was found, or "missing".
        path: the logical path inside the artifact, where it is known.
        key: the URI of the data.
    """


class SignatureError(IntegrityError):
    """A version carries no good signature of a key that is trusted.

    Attributes:
        expected: the ids of the keys that are trusted, shortened.
        actual: what was found.
    """


class UnverifiedReadWarning(UserWarning):
    """Content was read on condition of its identity alone, since a package that computes its digest is not there."""


class StoreFormatError(MetaMLFlowError):
    """A document in the store cannot be read as format 1: it is damaged, hostile, or newer than this library.

    Attributes:
        key: the document.
        problems: everything that is wrong with it, each with its place.
    """

    key: str = ""
    problems: tuple[str, ...] = ()


class LineageWarning(UserWarning):
    """Something about the lineage of an artifact could not be found out or recorded; the job goes on."""


class StaleMetadataWarning(UserWarning):
    """A new version seems to carry the metadata of the one before; the warning says what changed and what did not."""


class DamagedRecordWarning(UserWarning):
    """A listing left something out because its record cannot be read; the warning says which, and why."""


# --- the storage did not do it: mend access, or try again -------------------------------------------------------------


class StorageError(MetaMLFlowError):
    """The storage below failed.

    Attributes:
        key: the key or URL concerned, redacted, where there is one.
    """

    key: str = ""


class ObjectNotFoundError(StorageError, LookupError):
    """A key does not exist. Readers translate it into what it means: an unknown version, a lost blob."""


class AccessDeniedError(StorageError, PermissionError):
    """The storage refused the credentials or permissions in use."""


class PointerPolicyError(StorageError):
    """A pointer leads to a place that the client's ``pointer_policy`` does not let it open. Nothing was opened.

    Attributes:
        key: the URI, redacted.
    """


class StorageFullError(StorageError):
    """No space is left, on the store's disk or on the disk used for temporary files."""


class StorageUnavailableError(StorageError):
    """The storage did not answer, or answered with a failure that may pass.

    Attributes:
        throttled: whether it said that it is asked too often; then what is to be created is tried again for longer.
    """

    throttled: bool = False


class OutcomeUnknownError(StorageError):
    """A commit may or may not have happened, and reading it back did not tell.

    Attributes:
        name: the artifact name, where a version was at stake.
        version: the number that was being claimed.
        record_id: the id that the record carries if it landed.
    """

    name: str = ""
    version: int | None = None
    record_id: str = ""


class UnsupportedStoreError(StorageError):
    """This storage does not keep a promise that the format needs, such as creating a key exactly once."""
