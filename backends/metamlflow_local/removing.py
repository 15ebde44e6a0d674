"""What a collection removes: files that it has seen, and temp files that killed processes left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from metamlflow.backend.deleting import another, is_same
from metamlflow.backend.seam import Backend, DeleteFailure, ObjectInfo, UnfinishedUpload
from metamlflow.backend.translation import translated_errors
from metamlflow.errors import MetaMLFlowError
from metamlflow_local.doctor import TEMP
from metamlflow_local.temp_files import forgotten


class _InAFolder(Backend, Protocol):
    _root: Path


class LocalRemoving:
    """Makes the local backend one that :class:`~metamlflow.backend.DeletesSeen` and ``LeavesUploads``."""

    def delete_seen(self: _InAFolder, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Unlink files one by one, each right after a look at its age."""
        failures = []
        for info in infos:
            try:
                if not is_same(info, self.stat(info.key)):
                    raise another(info.key)
                with translated_errors(self.url_of(info.key)):
                    (self._root / info.key).unlink()
            except MetaMLFlowError as error:
                failures.append(DeleteFailure(info.key, error))
        return failures

    def unfinished_uploads(self: _InAFolder, before: datetime) -> Iterator[UnfinishedUpload]:
        """Yield the temp files of killed processes."""
        for path, modified in forgotten(self._root / TEMP, before.timestamp()):
            yield UnfinishedUpload(
                f"{TEMP}/{path.name}", str(path), datetime.fromtimestamp(modified, UTC), is_temporary=True
            )

    def abandon(self: Backend, upload: UnfinishedUpload) -> None:
        """Remove a temp file."""
        with translated_errors(self.url_of(upload.key)), suppress(FileNotFoundError):
            Path(upload.id).unlink()
