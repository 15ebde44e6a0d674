"""What a correction of metadata or a copy would publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from metamlflow._looks import bytes_text, counted, one_line, table_of
from metamlflow.model.manifests import Manifest
from metamlflow.model.metadata import decode


@dataclass(frozen=True, slots=True, repr=False)
class VersionPlan:
    """What ``client.update_metadata`` or ``client.copy`` would do. True in a condition if it would publish a version.

    Attributes:
        name: the artifact's name.
        version: the version that would be returned: the next number as of now, or one that is so already.
        source: the reference of the version whose content it has, such as ``features@2``.
        publishes: False if nothing would be published.
        artifact_type: the type of both.
        files: the number of files.
        size: the sum of their sizes, in bytes; none of them is copied.
        digest: the content digest of both.
        metadata: the metadata that it would have.
        note: the description that it would get among its notes, or None.
    """

    name: str
    version: int
    source: str
    publishes: bool
    artifact_type: str
    files: int
    size: int
    digest: str
    metadata: Mapping[str, Any] = field(hash=False)
    note: str | None

    def __bool__(self) -> bool:
        return self.publishes

    @property
    def reference(self) -> str:
        """The version that would be returned: ``name@3``."""
        return f"{self.name}@{self.version}"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values. Metadata is left out: a value such as NaN is none."""
        names = ("name", "version", "source", "publishes", "artifact_type", "files", "size", "digest", "note")
        return {name: getattr(self, name) for name in names}

    def _what(self) -> str:
        if self.reference == self.source:
            return f"{self.reference} would stay as it is"
        does = "would be published with" if self.publishes else "has already"
        return f"{self.reference} {does} the content of {self.source}"

    def __repr__(self) -> str:
        return f"<VersionPlan: {one_line(self._what(), 150)}>"

    def _repr_html_(self) -> str:
        content = f"{counted(self.files, 'file')}, {bytes_text(self.size)}, not copied"
        facts: dict[str, Any] = {"type": self.artifact_type, "content": content, "digest": self.digest}
        facts |= {f"metadata.{name}": value for name, value in self.metadata.items()}
        return table_of(self._what(), {**facts, "note": self.note or ""})


def plan_of(
    name: str, version: int, source: Manifest, metadata: Mapping[str, Any], note: str | None, *, publishes: bool
) -> VersionPlan:
    """Return the plan to publish the content of a version under a name, with metadata as stored."""
    return VersionPlan(
        name=name,
        version=version,
        source=f"{source.name}@{source.version}",
        publishes=publishes,
        artifact_type=source.artifact_type,
        files=source.files,
        size=source.size,
        digest=source.digest,
        metadata=cast("dict[str, Any]", decode(metadata)),
        note=note,
    )


def plan_of_published(published: Manifest, note: str | None) -> VersionPlan:
    """Return the plan of a call whose idempotency key has published a version already."""
    return plan_of(str(published.name), published.version, published, published.metadata, note, publishes=False)
