"""Lists of artifacts, as the client returns them."""

from __future__ import annotations

from metamlflow._looks import bytes_text, counted, grid_of, minute_text
from metamlflow.artifacts import Artifact


class Artifacts(list[Artifact]):
    """A list of artifacts that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        heads = ("version", "type", "files", "size", "created", "by")
        return grid_of(counted(len(self), "artifact"), heads, map(_row, self))


def _row(one: Artifact) -> tuple[object, ...]:
    reference, size = f"{one.name}@{one.version}", bytes_text(one.size)
    return reference, one.artifact_type, len(one.entries), size, minute_text(one.created_at), one.created_by
