"""What a collection removes: files that it has seen, and temp files that killed processes left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from metamlflow.backend.deleting import another, is_same
from metamlflow.backend.seam import Backend, DeleteFailure, ObjectInfo, UnfinishedUpload
from metamlflow.backend.translation import translated_errors
from metamlflow.errors import MetaMLFlowError
from metamlflow_local.doctor import TEMP
from metamlflow_local.temp_files import forgotten


class LocalRemoving:
    """Makes the local backend one that :class:`~metamlflow.backend.DeletesSeen` and ``LeavesUploads``."""

    def delete_seen(self: Backend, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Unlink files one by one, each right after a look at its age."""
        root, failures = Path(self.url.removeprefix("file://")), []
        for info in infos:
            try:
                if not is_same(info, self.stat(info.key)):
                    raise another(info.key)
                with translated_errors(self.url_of(info.key)):
                    (root / info.key).unlink()
            except MetaMLFlowError as error:
                failures.append(DeleteFailure(info.key, error))
        return failures

    def unfinished_uploads(self: Backend, before: datetime) -> Iterator[UnfinishedUpload]:
        """Yield the temp files of killed processes."""
        folder = Path(self.url.removeprefix("file://")) / TEMP
        for path, modified in forgotten(folder, before.timestamp()):
            yield UnfinishedUpload(
                f"{TEMP}/{path.name}", str(path), datetime.fromtimestamp(modified, UTC), is_temporary=True
            )

    def abandon(self: Backend, upload: UnfinishedUpload) -> None:
        """Remove a temp file."""
        with translated_errors(self.url_of(upload.key)), suppress(FileNotFoundError):
            Path(upload.id).unlink()
