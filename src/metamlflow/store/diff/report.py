"""The differences between two versions, as an object, a text, JSON and HTML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from metamlflow._arguments import absolute_path
from metamlflow._looks import grid_of, one_line
from metamlflow.backend import translated_errors
from metamlflow.store.diff.differences import Differences
from metamlflow.store.diff.lines import Line, lines_of, text_lines, verdict
from metamlflow.store.diff.page import page

_SHOWN = 20


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ArtifactDiff(Differences):
    """The differences between two versions. True in a condition if there are any.

    Who made them, when and in which run is not compared. ``str()`` gives a text for people, of 80 columns.

    Attributes:
        before: the reference of the first version, such as ``features@1``.
        after: the reference of the second version.
        elsewhere: the URL of the second version's store, if that is another one; else empty.
        facts: what differs of the versions as a whole: type, kind, number of files, size, content digest.
        files: files that were added, removed, modified and renamed; compared at the first use, and read lazily.
        schema: columns that were added, removed and changed, as the schemas were captured.
        metadata: values that were added, removed and changed, by their places, such as ``metrics.auc``.
        inputs: the same of the inputs.
        rows: how many rows differ; None if that was not asked for.
    """

    def lines(self, files: int | None = None) -> Iterator[Line]:
        """Yield the differences one after the other; of the files the first of each kind. None: all."""
        return lines_of(self, files)

    def to_json(self, files: int | None = 1_000) -> dict[str, Any]:
        """Return the differences as JSON values, with the first ``files`` files of each kind. None: all."""
        return {
            "equal": self.equal,
            "before": self.before,
            "after": self.after,
            "elsewhere": self.elsewhere,
            "facts": [fact.to_json() for fact in self.facts],
            "files": self.files.to_json(files),
            "schema": self.schema.to_json(),
            "metadata": self.metadata.to_json(),
            "inputs": self.inputs.to_json(),
            "rows": None if self.rows is None else self.rows.to_json(),
        }

    def to_html(self, path: str | os.PathLike[str] | None = None, *, files: int = 1_000) -> str:
        """Return the differences as one page that needs no network and runs no script.

        Args:
            path: a file to write it to, too.
            files: how many files of each kind to list.
        """
        text = page(self, files)
        if path is not None:
            file = Path(absolute_path(os.fspath(path)))
            with translated_errors(str(file)):
                file.write_text(text, "utf-8")
        return text

    def to_text(self, most: int = _SHOWN) -> str:
        """Return a text for people in lines of 80 columns, with at most so many lines of each kind."""
        return "\n".join(text_lines(self, most))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        # Without the files, which may have to be read first.
        schema, values = self.schema, self.metadata
        counts = {
            "fact": len(self.facts),
            "column": len(schema.added) + len(schema.removed) + len(schema.changed),
            "value": len(values.added) + len(values.removed) + len(values.changed),
        }
        return f"<ArtifactDiff {one_line(f'{self.before} -> {self.after}')}: {verdict(counts)}>"

    def _repr_html_(self) -> str:
        heads = ("", "change", "name", "before", "after")
        found = islice(self.lines(_SHOWN), 1_000)
        rows = [(line.section, line.change, line.name, line.before, line.after) for line in found]
        return grid_of(f"{self.before} \N{RIGHTWARDS ARROW} {self.after}", heads, rows or [("", "no differences")])
