"""Copy a version to another name: its content is published there as it is stored. No byte of it is moved."""

from __future__ import annotations

from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import Input
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.store.catalog.store import Store
from metamlflow.store.publish.content import VersionContent
from metamlflow.store.publish.head import Newest, read_newest
from metamlflow.store.publish.idempotency import Claims
from metamlflow.store.publish.publish import publish
from metamlflow.store.publish.stored_version import (
    StoredVersion,
    check_newest,
    explained,
    is_published,
    refuse_last_number,
    request_again,
)
from metamlflow.store.publish.version_plan import VersionPlan, plan_of, plan_of_published

COPIED_FROM = "copied_from"
"""The role of the input that names the version that was copied."""
_AGAIN = "Copy it again"
_MOVED = "Somebody was faster, or the number is mistyped. Look at the versions of the name, and decide again."


def copy_version(
    store: Store,
    source: Reference,
    name: ArtifactName,
    *,
    expected: int | None = None,
    note: str | None = None,
    key: str | None = None,
) -> StoredManifest:
    """Publish the content of a version as the next version of another name; return that.

    If the newest version of the name is this copy already, that is returned. So a call that was cut off is made again,
    with the same effect.

    Args:
        store: the store.
        source: the version to copy.
        name: the name of the copy.
        expected: the newest live version of that name, 0 for none; None: whatever it is.
        note: why; it becomes the description among the notes on the copy.
        key: the idempotency key, or None.

    Raises:
        InvalidInputError: the version has that name.
        ConflictError: another version than the expected one is the newest.
        ArtifactNotFoundError: the version does not exist.
        ArtifactPrunedError, ArtifactErasedError: it was given up.
        IntegrityError: content of it is missing; nothing was published.
    """
    _refuse_own_name(source, name)
    store.marker()  # a mistyped URI must not create a store
    if key is not None and (published := Claims(store, name, key).published()):
        return explained(store, published, note, _AGAIN)
    again = _Copied(store, source, name, expected)
    draft = request_again(store, name, again.version.seen.manifest, again, again.inputs, key=key)
    return explained(store, publish(store, draft), note, _AGAIN)


def plan_copy(
    store: Store,
    source: Reference,
    name: ArtifactName,
    *,
    expected: int | None = None,
    note: str | None = None,
    key: str | None = None,
) -> VersionPlan:
    """Return what :func:`copy_version` would do now. Writes nothing, and raises the same errors."""
    _refuse_own_name(source, name)
    store.marker()
    if key is not None and (published := Claims(store, name, key).published()):
        return plan_of_published(published.manifest, note)
    again = _Copied(store, source, name, expected)
    head = read_newest(store, name)
    again.check(head)
    again.content()
    done = again.is_what(head)
    seen = again.version.seen.manifest
    number = head.number if done else refuse_last_number(name, head)
    return plan_of(str(name), number, seen, seen.metadata, note, publishes=not done)


def _refuse_own_name(source: Reference, name: ArtifactName) -> None:
    if source.name == name:
        raise InvalidInputError(
            f"{source} has the name {name} already",
            hint="To publish the content of an earlier version as the next version of its name, roll back to it.",
        )


class _Copied:
    """A version that is published again under another name."""

    def __init__(self, store: Store, source: Reference, name: ArtifactName, expected: int | None) -> None:
        self.version = StoredVersion(store, source)
        self._store = store
        self._name = name
        self._expected = expected

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of the copy; those of the version are found there."""
        return (self.version.as_input(COPIED_FROM),)

    def begin(self) -> float:
        """See ``Again``."""
        return self.version.begin()

    def check(self, head: Newest) -> None:
        """See ``Again``. A copy that is there already is what was asked for, whoever made it."""
        if self._expected is not None and not self.is_what(head):
            check_newest(self._store, self._name, head, self._expected, _MOVED)

    def content(self) -> VersionContent:
        """See ``Again``."""
        return self.version.content()

    def is_what(self, head: Newest) -> bool:
        """See ``Again``."""
        seen = self.version.seen.manifest
        return is_published(head, seen, self.inputs, seen.metadata)
