"""The progress of a verification, kept in a file, so that an interrupted verification can continue."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metamlflow._arguments import absolute_path
from metamlflow.backend import translated_errors
from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.findings import Finding, Level
from metamlflow.store.catalog.store import Store
from metamlflow.store.verify.parts import Slice, SliceResult


class ResumeFile:
    """The finished parts of a verification, in a local file, so that an interrupted run can continue.

    The file is removed when the verification is complete. Unreadable parts are tried again.

    Raises:
        InvalidInputError: the file has other content, or belongs to another verification.
    """

    def __init__(self, file: str | os.PathLike[str], store: Store, level: Level) -> None:
        self._file = Path(absolute_path(os.fspath(file)))
        self._head = {"verification": store.url, "level": level}
        self._done: dict[tuple[str, str], SliceResult] = {}
        with translated_errors(str(self._file)):
            self._begun = self._file.exists() and self._file.stat().st_size > 0
            if self._begun:
                self._read()

    def _read(self) -> None:
        # A killed run may have left half a line: its part is verified again.
        lines = [_parsed(line) for line in self._file.read_text("utf-8", errors="replace").splitlines()]
        if not lines or lines[0] != self._head:
            raise InvalidInputError(
                f"{self._file} does not hold the progress of a verification of this store at this level",
                hint="Give another file, or remove this one to start again.",
            )
        for line in lines[1:]:
            with suppress(KeyError, TypeError):  # another structure: not written by this library
                findings = tuple(Finding(**finding) for finding in line["findings"])
                self._done[line["manifest"], json.dumps(line["part"])] = SliceResult(line["bytes"], findings)

    def done(self, loaded: StoredManifest, part: Slice) -> SliceResult | None:
        """Return an earlier run's result for a part, if nothing in it was unreadable."""
        found = self._done.get((loaded.digest, json.dumps(asdict(part))))
        return None if found is None or any(f.status == "unreadable" for f in found.findings) else found

    def note(self, loaded: StoredManifest, part: Slice, result: SliceResult) -> None:
        """Record that a part is done."""
        findings = [finding.to_json() for finding in result.findings]
        line = {"manifest": loaded.digest, "part": asdict(part), "bytes": result.bytes, "findings": findings}
        with translated_errors(str(self._file)), self._file.open("a", encoding="utf-8") as file:
            if not self._begun:
                file.write(f"{json.dumps(self._head)}\n")
                self._begun = True
            file.write(f"{json.dumps(line)}\n")

    def finish(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
