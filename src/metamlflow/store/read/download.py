"""Download content to a local folder: everything is verified before the first file appears under its name."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from metamlflow._arguments import absolute_path, local_path
from metamlflow.backend import translated_errors
from metamlflow.errors import DestinationExistsError, InvalidInputError, InvalidPathError, StorageError, redact
from metamlflow.model.likeness import quoted
from metamlflow.model.manifests import EmptyFolder, FileEntry, Item, Manifest
from metamlflow.model.paths import collisions
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.content import content_of
from metamlflow.store.transfer.download_staging import staging_folder
from metamlflow.store.transfer.handles import Inside, open_folder
from metamlflow.store.transfer.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.transfer.scheduler import in_parallel

_SHOWN = 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_Target = tuple[int, int, Item]
"""The handle of a staging folder, the number that names a file there, and the item that the file is for."""
_Place = tuple[int, str]
"""The handle of a folder, and a name in it."""


def local_folder(destination: str | os.PathLike[str]) -> Path:
    """Return the folder that a caller gave as a path or a ``file://`` URL."""
    place = os.fspath(destination)
    if not place:
        raise InvalidInputError("the destination is an empty path", hint="Use '.' for the current folder.")
    path = local_path(place)
    if path is None:
        raise InvalidInputError(
            f"{redact(place)!r} is not a local folder",
            hint="A download goes to a local folder; use fsspec to copy it elsewhere.",
        )
    return Path(path)


@dataclass(frozen=True, slots=True)
class Download:
    """The items to download, and how."""

    store: Store
    manifest: Manifest
    items: Iterable[Item]
    files: int
    size: int
    overwrite: bool = False
    progress: ProgressCallback | None = None


def download_artifact(
    store: Store, manifest: Manifest, destination: Path, *, overwrite: bool, progress: ProgressCallback | None
) -> Path:
    """Download a whole artifact to the folder ``destination``; return the file of a one-file artifact, else the folder.

    Raises:
        DestinationExistsError: a file is in the way; nothing was written.
        IntegrityError: content is damaged or missing; nothing was left behind.
    """
    entries = Entries(store, manifest)
    items = _Items(entries)
    run(Download(store, manifest, items, manifest.files, manifest.size, overwrite, progress), destination)
    return destination / next(iter(entries)).path if manifest.kind == "file" else destination


def download_entry(
    store: Store,
    manifest: Manifest,
    entry: FileEntry,
    destination: Path,
    *,
    overwrite: bool,
    progress: ProgressCallback | None,
) -> Path:
    """Download one file to ``destination`` under its logical path; return its path on the disk."""
    run(Download(store, manifest, (entry,), 1, entry.size, overwrite, progress), destination)
    return destination / entry.path


def fill_folder(store: Store, manifest: Manifest, folder: Path) -> None:
    """Download a whole artifact into an empty folder that no other process sees."""
    download = Download(store, manifest, _Items(Entries(store, manifest)), manifest.files, manifest.size)
    handle = open_folder(folder)
    try:
        _refuse_collisions(download.items, handle, folder)
    finally:
        os.close(handle)
    fetch = _Fetching(download, folder)
    fetch.all(fetch.to_path, ((-1, -1, item) for item in download.items))


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of an artifact, iterable several times without holding them in memory."""

    entries: Entries

    def __iter__(self) -> Iterator[Item]:
        return self.entries.items()


@callback_errors()
def run(download: Download, destination: Path) -> None:
    """Run a download: check the destination, fetch into a hidden folder inside it, then move the complete files."""
    if not destination.is_absolute():
        absolute_path(str(destination))  # must fail if the current folder was deleted, before a folder is made in it
    with translated_errors(str(destination)):
        missing = _missing_folders(destination)
        try:
            _make_folders(missing)
            root = open_folder(destination)
            try:
                _check_destination(download, destination)
                with staging_folder(root) as staging:
                    _refuse_collisions(download.items, staging, destination)
                    fetch = _Fetching(download, destination)
                    fetch.all(fetch.to_number, ((staging, number, item) for number, item in enumerate(download.items)))
                    _move_in(download, staging, root, destination)
            finally:
                os.close(root)
        except BaseException:
            _remove_empty(missing)
            raise


def _make_folders(missing: Iterable[Path]) -> None:
    for folder in reversed(list(missing)):
        try:
            folder.mkdir(exist_ok=True)
        except FileNotFoundError as error:  # /proc accepts no folders, and a deleted folder no children
            raise StorageError(
                f"cannot create the folder {folder}: its parent accepts no folders, or was deleted",
                hint="Give the absolute path of a folder on a disk.",
                key=str(folder),
            ) from error


def _missing_folders(folder: Path) -> list[Path]:
    """Return the folders to create so that ``folder`` exists, innermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        if os.path.lexists(path):
            raise DestinationExistsError(
                f"{path} is not a folder, but the destination of a download must be one",
                hint="Give the folder; the file gets the name it was registered with.",
                paths=(str(path),),
            )
        missing.append(path)
    return missing


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _check_destination(download: Download, destination: Path) -> None:
    """Refuse files in the way, and links that lead out of the destination, before any content is fetched."""
    with os.scandir(destination) as found:
        if next(found, None) is None:
            return
    in_the_way: list[str] = []
    checked: set[str] = set()
    for item in download.items:
        target = destination / item.path
        if not _is_clear_of_links(destination, item.path, checked):
            in_the_way.append(f"{target} (a link or a file is in the place of one of its folders)")
        elif isinstance(item, EmptyFolder):
            if os.path.lexists(target) and (target.is_symlink() or not target.is_dir()):
                in_the_way.append(str(target))
        elif os.path.lexists(target) and not (download.overwrite and target.is_file() and not target.is_symlink()):
            in_the_way.append(str(target))
    if in_the_way:
        shown = "\n  ".join(in_the_way[:_SHOWN])
        more = f"\n  and {len(in_the_way) - _SHOWN} more" if len(in_the_way) > _SHOWN else ""
        raise DestinationExistsError(
            f"the download would overwrite:\n  {shown}{more}",
            hint="Give another folder, or overwrite=True to replace files (folders and links are never replaced).",
            paths=tuple(in_the_way),
        )


def _is_clear_of_links(destination: Path, path: str, checked: set[str]) -> bool:
    folder = path.rpartition("/")[0]
    while folder and folder not in checked:
        inner = destination / folder
        if inner.is_symlink() or (inner.exists() and not inner.is_dir()):
            return False
        checked.add(folder)
        folder = folder.rpartition("/")[0]
    return True


def _refuse_collisions(items: Iterable[Item], folder: int, place: Path) -> None:
    """Raise an error that names the paths that this disk cannot tell apart, if it folds case or normalises names."""
    if not _folds(folder):
        return
    groups = list(collisions(item.path for item in items))
    if groups:
        problems = tuple(" = ".join(quoted(group)) for group in groups)
        shown = "\n  ".join(problems[:_SHOWN])
        raise InvalidPathError(
            f"the disk of {place} cannot tell these paths apart:\n  {shown}",
            hint="Download to a case-sensitive disk, or fetch the files one by one with path=.",
            problems=problems,
        )


def _folds(folder: int) -> bool:
    """Whether the disk treats two spellings as one name."""
    probe = f"{uuid.uuid4().hex}é".upper()
    os.close(os.open(probe, _NEW, 0o600, dir_fd=folder))
    try:
        return _is_there(probe.lower(), folder) or _is_there(f"{probe[:-1]}E\u0301", folder)
    finally:
        os.unlink(probe, dir_fd=folder)


def _is_there(name: str, folder: int) -> bool:
    return _status(name, folder) is not None


def _status(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


class _Fetching:
    """Downloads items to a folder, each in a worker thread."""

    def __init__(self, download: Download, place: Path) -> None:
        self._download = download
        self._place = str(place)
        self._counter = Counter("download", download.progress, total_files=download.files, total_bytes=download.size)
        self._made: set[str] = {self._place}

    def all(self, work: Callable[[_Target], None], targets: Iterable[_Target]) -> None:
        """Download to all targets, many at a time."""
        for _ in in_parallel(work, targets, size_of=self._bytes_in_memory, cancel=self._counter.cancel):
            pass

    def _bytes_in_memory(self, target: _Target) -> int | None:
        item = target[2]
        if isinstance(item, EmptyFolder):
            return 0
        return content_of(self._download.store, self._download.manifest, item).bytes_in_memory

    def to_number(self, target: _Target) -> None:
        """Download one item, verified, to a file in a staging folder; its number is the file name."""
        folder, number, item = target
        if not isinstance(item, EmptyFolder):
            self._write(item, f"{self._place}/{item.path}", str(number), folder)

    def to_path(self, target: _Target) -> None:
        """Download one item, verified, to its path below a folder that no other process can write to."""
        item = target[2]
        path = f"{self._place}/{item.path}"
        with translated_errors(path):
            if isinstance(item, EmptyFolder):
                self._make(path)
                return
            self._make(path.rpartition("/")[0])
        self._write(item, path, path, None)

    def _write(self, item: FileEntry, shown: str, name: str, folder: int | None) -> None:
        with translated_errors(shown):
            descriptor = os.open(name, _NEW, 0o666, dir_fd=folder)
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 (a descriptor)
                content_of(self._download.store, self._download.manifest, item).copy(file, self._on_bytes)
                if item.executable:
                    mode = os.fstat(descriptor).st_mode
                    # Everyone who may read the file may execute it, so the umask decides, as it does for a compiler's
                    # output.
                    os.fchmod(descriptor, mode | (mode & (stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)) >> 2)
        self._counter.add(files=1)

    def _make(self, folder: str) -> None:
        missing = []
        while folder not in self._made:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        for path in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(path)  # noqa: PTH102 (a Path for each folder would be slow)
            self._made.add(path)

    def _on_bytes(self, size: int) -> None:
        self._counter.add(size=size)


def _move_in(download: Download, staging: int, root: int, destination: Path) -> None:
    made: list[str] = []
    with Inside(root, destination) as inside:
        try:
            for number, item in enumerate(download.items):
                if isinstance(item, EmptyFolder):
                    inside.folder(item.path, made.append)
                    continue
                folder, _, name = item.path.rpartition("/")
                with translated_errors(f"{destination}/{item.path}"):
                    target = inside.folder(folder, made.append), name
                    _move((staging, str(number)), target, f"{destination}/{item.path}", overwrite=download.overwrite)
        except BaseException:
            if not download.overwrite:
                _take_back(download.items, staging, inside)
            for path in reversed(made):
                parent, _, name = path.rpartition("/")
                with suppress(OSError):
                    os.rmdir(name, dir_fd=inside.folder(parent))
            raise


def _move(staged: _Place, target: _Place, shown: str, *, overwrite: bool) -> None:
    """Move a staged file to its target; both are the handle of a folder and a name."""
    (source, name), (folder, new) = staged, target
    if overwrite:
        os.replace(name, new, src_dir_fd=source, dst_dir_fd=folder)
        return
    try:
        # link() fails if the target exists; rename() would silently replace a file created meanwhile.
        os.link(name, new, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise DestinationExistsError(
            f"{shown} appeared while the download ran", hint="Give another folder.", paths=(shown,)
        ) from None
    except OSError:
        if _is_there(new, folder):
            raise
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=folder)  # a disk without hard links


def _take_back(items: Iterable[Item], staging: int, inside: Inside) -> None:
    """Remove the files that were moved in: those that are no longer staged, or are at both places."""
    for number, item in enumerate(items):
        if isinstance(item, EmptyFolder):
            continue
        folder, _, name = item.path.rpartition("/")
        with suppress(OSError, DestinationExistsError):
            handle = inside.folder(folder)
            staged, target = _status(str(number), staging), _status(name, handle)
            if target is not None and (staged is None or os.path.samestat(staged, target)):
                os.unlink(name, dir_fd=handle)
