"""Publishing under an idempotency key: a retried job makes no second version. SPEC.md, "Idempotent publish"."""

from __future__ import annotations

import hashlib

from metamlflow.errors import ObjectNotFoundError
from metamlflow.format.layout import idempotency_key, idempotency_prefix, parse_idempotency_key
from metamlflow.format.records import Claim, decode_claim, encode_claim
from metamlflow.model.names import ArtifactName
from metamlflow.store.claiming import claim
from metamlflow.store.opening import Store
from metamlflow.store.versions import Loaded, load_manifest


class Claims:
    """The claims under one idempotency key of one name.

    Each claim binds the publish to a version number before its manifest is created. Whoever retries takes over the
    newest claim with its ids, so all of them try to create the same record, and the storage lets one of them succeed.
    A claim is dead once its number carries another's record; only then is the next claim made.
    """

    def __init__(self, store: Store, name: ArtifactName, key: str) -> None:
        self._store = store
        self._name = name
        self._digest = hashlib.sha256(key.encode()).hexdigest()
        self._newest: Claim | None = None
        self._count = 0

    def published(self) -> Loaded | None:
        """Return what was published under this key before, or None. Takes over the newest claim there is."""
        prefix = idempotency_prefix(self._name, self._digest)
        keys = [info.key for info in self._store.backend.list_objects(prefix)]
        numbers = [number for key in keys if (number := parse_idempotency_key(self._name, self._digest, key))]
        if not numbers:
            return None
        self._take_over(max(numbers))
        return self._carried_out()

    @property
    def ids(self) -> tuple[str, str] | None:
        """The record id and artifact id of the newest claim."""
        return (self._newest.record_id, self._newest.artifact_id) if self._newest else None

    def bind(self, next_version: int, record_id: str, artifact_id: str) -> int:
        """Return the number to publish as: that of the newest claim while it can still win, else ``next_version``.

        Args:
            next_version: one more than the highest version there is.
            record_id: the ids to publish under, unless an earlier claim named others.
            artifact_id: as above.
        """
        if self._newest is None or self._newest.version < next_version:
            ids = self.ids or (record_id, artifact_id)
            number = self._count + 1
            data = encode_claim(Claim(next_version, *ids), self._store.clock.now())
            claim(
                self._store.backend, idempotency_key(self._name, self._digest, number), data, ids[0], self._store.clock
            )
            # Whoever created this claim: what it says holds for all.
            self._take_over(number)
        assert self._newest is not None  # noqa: S101 (for the type checker)
        return self._newest.version

    def _take_over(self, number: int) -> None:
        key = idempotency_key(self._name, self._digest, number)
        self._newest, self._count = decode_claim(self._store.backend.read(key), key), number

    def _carried_out(self) -> Loaded | None:
        assert self._newest is not None  # noqa: S101 (for the type checker)
        try:
            loaded = load_manifest(self._store, self._name, self._newest.version)
        except ObjectNotFoundError:
            return None
        return loaded if loaded.manifest.record_id == self._newest.record_id else None
