"""What an artifact says of where it comes from; :class:`Artifact` is one."""

from __future__ import annotations

from typing import Any

from metamlflow.format.manifests import Loaded
from metamlflow.lineage import Lineage
from metamlflow.model.manifests import Input
from metamlflow.sessions import Session
from metamlflow.store.lineage.walk import walk
from metamlflow.store.verify.signatures import Signature, sign, signatures_of


class Origins:
    """The part of an artifact that is about what it was made from, and who stands for it."""

    _session: Session
    _loaded: Loaded

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The artifact versions that it was made from."""
        return self._loaded.manifest.inputs

    @property
    def run_id(self) -> str | None:
        """The run that it was registered in, if there was one: ``client.get_run`` tells of it."""
        return self._loaded.manifest.run

    def sign(self, private_key: Any) -> Signature:
        """Sign the version's manifest; return the signature. A second one with the same key changes nothing.

        The key is ed25519: the path of a PEM file without a password, PEM in bytes, or a key of ``cryptography``.
        """
        return sign(self._session.store, self._loaded, private_key)

    @property
    def signatures(self) -> list[Signature]:
        """The good signatures over its manifest, whoever made them: compare their keys with those you trust."""
        return signatures_of(self._session.store, self._loaded)

    def upstream(self, depth: int | None = None) -> Lineage:
        """Return what it was made from, and what that was made from, as a graph. A read for each version."""
        return Lineage(self._session.store, walk(self._session.store, self._loaded, "upstream", depth))

    def downstream(self, depth: int | None = None) -> Lineage:
        """Return what was made from it, and from that, as a graph. A listing, and a read for each consumer."""
        return Lineage(self._session.store, walk(self._session.store, self._loaded, "downstream", depth))
