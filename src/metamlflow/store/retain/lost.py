"""What takes the place of a version whose manifest is lost for good: what others say of it. SPEC.md, section 12."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from metamlflow.errors import ArtifactNotFoundError, ConflictError
from metamlflow.format.layout import state_key
from metamlflow.format.records import decode_state
from metamlflow.format.tombs import DIGEST_OF_NOTHING, Tomb
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.authors import user_name
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.statuses import (
    VersionStatus,
    claim_state,
    list_versions,
    load_manifest,
    read_tomb,
    version_status,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import not_found
from metamlflow.store.retain.gaps import look_for


def not_there(store: Store, name: ArtifactName, version: int) -> ArtifactNotFoundError:
    """Return the error for a version that is not in the store: if it vanished, with what may be done."""
    error = not_found(store, name, version)
    if version < _newest(store, name):
        error.hint = (
            "It vanished: something other than the library deleted it. Bring it back with `metamlflow fsck --repair "
            "--from` a copy; or give it up for good with `--lost` (`lost=True`)."
        )
    return error


def tomb_of_lost(store: Store, name: ArtifactName, version: int, reason: str | None) -> Tomb:
    """Return the tomb of a version that vanished, from what its neighbours say of it.

    Raises:
        ConflictError: it is in the store; or so is not the next one, which must be brought back or given up first.
        ArtifactNotFoundError: no version after it shows that there was one.
    """
    if look_for(store, name, version) is not None:
        raise ConflictError(
            f"{name}@{version} is not lost: it is in the store", hint="Prune it and erase it without `--lost`."
        )
    if version >= _newest(store, name):
        raise not_found(store, name, version)
    after = look_for(store, name, version + 1)
    if after is None:
        raise ConflictError(
            f"{name}@{version + 1} vanished as well, and only the version after tells the digest of the one before",
            hint="Bring it back, or give up the higher one first.",
        )
    digest = _digests(store, name, after)[1] or DIGEST_OF_NOTHING
    before = look_for(store, name, version - 1) if version > 1 else None
    previous = _digests(store, name, before)[0] if before else DIGEST_OF_NOTHING
    return Tomb(
        record_id=store.clock.new_id(),
        created_at=store.clock.now(),
        created_by=user_name(),
        name=name,
        version=version,
        manifest_digest=digest,
        previous=previous if version > 1 else None,
        reason=reason,
    )


def give_up(store: Store, tomb: Tomb, *, dry_run: bool, refuse_young: Callable[[VersionStatus, str], object]) -> None:
    """Claim the state ``"pruned"`` of a version that vanished, unless there is one; refuse while that is too young.

    A publish that saw the version live before it vanished may rely on its content, and lands within the grace.
    """
    name, version = tomb.name, tomb.version
    for _ in range(4):
        status = version_status(store, name, version)
        odd, speaks = status.state % 2, False
        if odd:
            key = state_key(name, version, status.state)
            record = decode_state(with_retries(partial(read_record, store.backend, key), store.clock), key)
            speaks = record.manifest_digest == tomb.manifest_digest
        if speaks:
            refuse_young(status, "given up")
            return
        if dry_run:
            raise ConflictError(
                f"{name}@{version} would be given up now, and can be erased a grace later",
                hint="Do it without the dry run, and again then. Collections delete nothing until then.",
            )
        # An odd state that speaks of another manifest is taken back first.
        claim_state(
            store,
            name,
            version,
            status.state + 1,
            "restored" if odd else "pruned",
            tomb.manifest_digest,
            note="its manifest is lost",
        )
    raise ConflictError(f"others change the states of {name}@{version} at the same time", hint="Try again.")


def _newest(store: Store, name: ArtifactName) -> int:
    newest = next(list_versions(store, name), None)
    return newest.version if newest else 0


def _digests(store: Store, name: ArtifactName, status: VersionStatus) -> tuple[str, str | None]:
    """Return the digest of a version's manifest, and the one that it holds of the version before."""
    if status.erased:
        tomb = read_tomb(store, name, status.version)
        return tomb.manifest_digest, tomb.previous
    loaded = load_manifest(store, name, status.version)
    return loaded.digest, loaded.manifest.previous
