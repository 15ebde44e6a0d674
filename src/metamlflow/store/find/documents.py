"""Manifests that the catalog holds: decoded when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from metamlflow.format.layout import manifest_key
from metamlflow.format.manifests import StoredManifest, decode_manifest, digest_of
from metamlflow.model.manifests import Manifest
from metamlflow.model.names import ArtifactName


class HeldManifest(StoredManifest):
    """A manifest whose bytes have the digest that was recorded when it was read and checked."""

    __slots__ = ("_decoded", "_name", "_version")
    _decoded: Manifest | None
    _name: ArtifactName
    _version: int

    def __init__(self, data: bytes, name: ArtifactName, version: int) -> None:
        for attribute, value in (("data", data), ("_name", name), ("_version", version), ("_decoded", None)):
            object.__setattr__(self, attribute, value)

    @property
    def manifest(self) -> Manifest:
        """The manifest, decoded at the first look."""
        decoded = self._decoded
        if decoded is None:
            key = manifest_key(self._name, self._version)
            decoded = decode_manifest(self.data, key, self._name, self._version)
            object.__setattr__(self, "_decoded", decoded)
        return decoded

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return StoredManifest, (self.manifest, self.data)


def held_manifests(
    versions: Iterable[tuple[str, int]], documents: Iterable[tuple[str, bytes | None, str]]
) -> Iterator[StoredManifest | None]:
    """Yield the manifests of versions, in the order of the documents; None for one that has to be read again.

    A document that does not have its digest any more, since a disk lost bits of it, is not used.
    """
    for (name, version), (_, data, digest) in zip(versions, documents, strict=True):
        usable = data is not None and digest_of(data) == digest
        yield HeldManifest(data, ArtifactName(name), version) if usable and data is not None else None
