"""Publish under an idempotency key: a retried job creates no second version. SPEC.md, "Idempotent publish"."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from metamlflow.errors import ArtifactPrunedError, ObjectNotFoundError
from metamlflow.format.layout import idempotency_key, idempotency_prefix, parse_idempotency_key
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.records import Claim, decode_claim, encode_claim
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import create_before_commit, with_retries
from metamlflow.store.catalog.statuses import check_available, erased_error, load_manifest, read_tomb, version_status
from metamlflow.store.catalog.store import Store


class Claims:
    """The claims under one idempotency key of one name.

    Each claim binds the publish to a version number before its manifest is created. A retry takes over the newest claim
    with its ids, so all of them try to create the same record, and the storage lets one of them succeed. A claim is
    dead once its number has another writer's record; only then is the next claim made.
    """

    def __init__(self, store: Store, name: ArtifactName, key: str) -> None:
        self._store = store
        self._name = name
        self._digest = hashlib.sha256(key.encode()).hexdigest()
        self._newest: Claim | None = None
        self._count = 0

    def published(self) -> StoredManifest | None:
        """Return the version published under this key before, or None. Takes over the newest claim, if there is one.

        Raises:
            ArtifactErasedError: the claimed version was erased. Nothing is ever published under this key again.
            ArtifactPrunedError: it was pruned. It is returned again if it is restored, and nothing else is published.
        """
        prefix = idempotency_prefix(self._name, self._digest)
        found = with_retries(lambda: list(self._store.backend.list_objects(prefix)), self._store.clock)
        numbers = [number for info in found if (number := parse_idempotency_key(self._name, self._digest, info.key))]
        if not numbers:
            return None
        self._take_over(max(numbers))
        return self._carried_out()

    def bind(self, head: int, wanted: Claim) -> Claim:
        """Return the claim to publish as: the newest claim if it has won or still can, else ``wanted``, now claimed.

        Args:
            head: the highest version that the caller saw: a claim up to that number has won or lost, and must be looked
                up again, because it may have won since :meth:`published` looked.
            wanted: the claim of this publish, if no other claim is alive.
        """
        while self._newest is None or (self._newest.version <= head and not self._carried_out()):
            number = self._count + 1
            key = idempotency_key(self._name, self._digest, number)
            data = encode_claim(wanted, self._store.clock.now())
            create_before_commit(self._store.backend, key, data, wanted.record_id, self._store.clock)
            # Take over the stored claim, even if another client created it: it applies to all retries.
            self._take_over(number)
        return self._newest

    def _take_over(self, number: int) -> None:
        key = idempotency_key(self._name, self._digest, number)
        data = with_retries(lambda: read_record(self._store.backend, key), self._store.clock)
        self._newest, self._count = decode_claim(data, key), number

    def _carried_out(self) -> StoredManifest | None:
        assert self._newest is not None  # noqa: S101 (for the type checker)
        loaded: StoredManifest | None = None
        with suppress(ObjectNotFoundError):
            loaded = load_manifest(self._store, self._name, self._newest.version)
        # After the manifest: a tomb or a state that was there when that was read is listed.
        status = version_status(self._store, self._name, self._newest.version)
        tomb = read_tomb(self._store, self._name, status.version) if status.erased else None
        is_own = loaded is not None and loaded.manifest.record_id == self._newest.record_id
        if tomb and (is_own or loaded is None or loaded.digest != tomb.manifest_digest):
            # What was made under this key is gone for good, so the key is spent. Another manifest than the erased one
            # was created under the tomb, by a writer that had been paused: it is no version, and proves nothing.
            raise erased_error(tomb)
        if loaded is None or not is_own:
            return None
        try:
            check_available(self._store, self._name, status, loaded.digest)
        except ArtifactPrunedError as error:
            raise error.with_hint(
                f"{error.hint} It was registered under this idempotency key, and nothing else will be: to register its "
                "files again, take another key."
            ) from None
        return loaded
