"""The finished parts of a verification, in a file, so that an interrupted one can continue."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict

from metamlflow.format.manifests import StoredManifest
from metamlflow.model.findings import Finding, Level
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.resume_file import ResumeFile
from metamlflow.store.verify.parts import Slice, SliceResult


class VerificationProgress:
    """The finished parts of a verification. The file is removed at the end; unreadable parts are tried again.

    Raises:
        InvalidInputError: the file has other content, or belongs to another verification.
    """

    def __init__(self, file: str | os.PathLike[str], store: Store, level: Level) -> None:
        head = {"verification": store.url, "level": level}
        self._file = ResumeFile(file, head, "a verification of this store at this level")
        self._done: dict[tuple[str, str], SliceResult] = {}
        for line in self._file.lines():
            with suppress(KeyError, TypeError):  # half a line, or another structure: not written by this library
                findings = tuple(Finding(**finding) for finding in line["findings"])
                self._done[line["manifest"], json.dumps(line["part"])] = SliceResult(line["bytes"], findings)

    def done(self, loaded: StoredManifest, part: Slice) -> SliceResult | None:
        """Return an earlier run's result for a part, if nothing in it was unreadable."""
        found = self._done.get((loaded.digest, json.dumps(asdict(part))))
        return None if found is None or any(f.status == "unreadable" for f in found.findings) else found

    def note(self, loaded: StoredManifest, part: Slice, result: SliceResult) -> None:
        """Record that a part is done."""
        findings = [finding.to_json() for finding in result.findings]
        self._file.note({"manifest": loaded.digest, "part": asdict(part), "bytes": result.bytes, "findings": findings})

    def finish(self) -> None:
        """Remove the file."""
        self._file.finish()
