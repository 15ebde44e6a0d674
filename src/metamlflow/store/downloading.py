"""Bringing content to a local folder: all of it verified before the first file appears under its name."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from metamlflow.backend import translated_errors
from metamlflow.errors import DestinationExistsError, InvalidInputError, InvalidPathError, redact
from metamlflow.model.likeness import quoted
from metamlflow.model.manifests import EmptyFolder, FileEntry, Item, Manifest
from metamlflow.model.paths import collisions
from metamlflow.store.entries import Entries
from metamlflow.store.opening import Store
from metamlflow.store.places import STAGING_PREFIX
from metamlflow.store.progress import Counter, ProgressCallback, callback_errors
from metamlflow.store.reading import bytes_in_memory, copy_entry
from metamlflow.store.transfer import in_parallel

_SHOWN = 20


def local_folder(destination: str | os.PathLike[str]) -> Path:
    """Return the folder that a caller named as a path or a ``file://`` URL."""
    place = os.fspath(destination)
    if not place:
        raise InvalidInputError("an empty destination names nothing", hint="Use '.' for the current folder.")
    if "://" in place and not place.startswith("file://"):
        raise InvalidInputError(
            f"{redact(place)!r} is no local folder", hint="A download goes to a folder; fsspec copies it on from there."
        )
    return Path(os.path.expanduser(place.removeprefix("file://")))  # noqa: PTH111 (leaves a folder named ~x alone)


@dataclass(frozen=True, slots=True)
class Download:
    """What is to be brought where."""

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
    """Bring all of an artifact to the folder ``destination``; return the file of a one-file artifact, else the folder.

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
    """Bring one file to ``destination`` under its logical path; return where it lies."""
    run(Download(store, manifest, (entry,), 1, entry.size, overwrite, progress), destination)
    return destination / entry.path


def fill_folder(store: Store, manifest: Manifest, folder: Path) -> None:
    """Bring all of an artifact into an empty folder that nobody else sees."""
    download = Download(store, manifest, _Items(Entries(store, manifest)), manifest.files, manifest.size)
    _refuse_collisions(download.items, folder)
    _fetch(download, folder)


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of an artifact, to be walked more than once without holding them."""

    entries: Entries

    def __iter__(self) -> Iterator[Item]:
        return self.entries.items()


@callback_errors()
def run(download: Download, destination: Path) -> None:
    """Carry out a download: look first, fetch into a hidden folder beside, and move what is complete."""
    with translated_errors(str(destination)):
        missing = _missing_folders(destination)
        try:
            destination.mkdir(parents=True, exist_ok=True)
            _check_destination(download, destination)
            with _staging_folder(destination) as staging:
                _refuse_collisions(download.items, staging)
                _fetch(download, staging)
                _move_in(download, staging, destination)
        except BaseException:
            _remove_empty(missing)
            raise


def _missing_folders(folder: Path) -> list[Path]:
    """Return the folders that are to be made for ``folder`` to be one, innermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        if os.path.lexists(path):
            raise DestinationExistsError(
                f"{path} is no folder, and the destination of a download is one",
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
    """Refuse what is in the way, and links that lead out of the destination, before anything is fetched."""
    with os.scandir(destination) as found:
        if next(found, None) is None:
            return
    in_the_way: list[str] = []
    checked: set[str] = set()
    for item in download.items:
        target = destination / item.path
        if not _is_clear_of_links(destination, item.path, checked):
            in_the_way.append(f"{target} (a link or a file lies where one of its folders belongs)")
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


@contextmanager
def _staging_folder(destination: Path) -> Iterator[Path]:
    _sweep(destination)
    # Inside the destination: the same disk for certain, and writable if the destination is.
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=destination))
    with _lock(staging):
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _sweep(destination: Path) -> None:
    """Remove what downloads that were killed left here: their locks are free."""
    for remains in destination.glob(f"{STAGING_PREFIX}*"):
        with suppress(OSError), _lock(remains):
            shutil.rmtree(remains, ignore_errors=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the system frees when this process ends, however. BlockingIOError if it is held."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _refuse_collisions(items: Iterable[Item], folder: Path) -> None:
    """Name the paths that this disk cannot tell apart, if it is one that folds case or normalises."""
    if not _folds(folder):
        return
    groups = list(collisions(item.path for item in items))
    if groups:
        problems = tuple(" = ".join(quoted(group)) for group in groups)
        shown = "\n  ".join(problems[:_SHOWN])
        raise InvalidPathError(
            f"the disk of {folder.parent} cannot tell these paths apart:\n  {shown}",
            hint="Download to a case-sensitive disk, or fetch the files one by one with path=.",
            problems=problems,
        )


def _folds(folder: Path) -> bool:
    """Whether the disk takes two spellings for one name."""
    probe = folder / f"{uuid.uuid4().hex}é".upper()
    probe.touch()
    try:
        return probe.with_name(probe.name.lower()).exists() or probe.with_name(f"{probe.name[:-1]}E\u0301").exists()
    finally:
        probe.unlink()


def _fetch(download: Download, staging: Path) -> None:
    counter = Counter("download", download.progress, total_files=download.files, total_bytes=download.size)
    work = _Fetching(download, str(staging), counter).fetch
    for _ in in_parallel(work, download.items, size_of=bytes_in_memory, cancel=counter.cancel):
        pass


class _Fetching:
    """Brings items to a folder, each in a worker thread."""

    def __init__(self, download: Download, folder: str, counter: Counter) -> None:
        self._download = download
        self._folder = folder
        self._counter = counter
        self._made: set[str] = {folder}

    def fetch(self, item: Item) -> None:
        """Bring one item, verified, to where it is staged."""
        target = f"{self._folder}/{item.path}"
        with translated_errors(target):
            if isinstance(item, EmptyFolder):
                self._make(target)
                return
            self._make(target.rpartition("/")[0])
            with open(target, "xb", buffering=0) as file:  # noqa: PTH123 (a Path for each file takes its time)
                copy_entry(self._download.store, self._download.manifest, item, file, self._on_bytes)
                if item.executable:
                    mode = os.fstat(file.fileno()).st_mode
                    # Whoever may read it may execute it: so the umask decides, as for a compiler's output.
                    os.fchmod(file.fileno(), mode | (mode & (stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)) >> 2)
        self._counter.add(files=1)

    def _make(self, folder: str) -> None:
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 (as above)
            self._made.add(folder)

    def _on_bytes(self, size: int) -> None:
        self._counter.add(size=size)


def _move_in(download: Download, staging: Path, destination: Path) -> None:
    made: list[Path] = []
    there = {""}
    try:
        for item in download.items:
            folder = item.path if isinstance(item, EmptyFolder) else item.path.rpartition("/")[0]
            if folder not in there:
                for missing in reversed(_missing_folders(destination / folder)):
                    missing.mkdir(exist_ok=True)
                    made.append(missing)
                there.add(folder)
            if not isinstance(item, EmptyFolder):
                _move(f"{staging}/{item.path}", f"{destination}/{item.path}", overwrite=download.overwrite)
    except BaseException:
        if not download.overwrite:
            _take_back(download.items, staging, destination)
        _remove_empty(reversed(made))
        raise


def _move(staged: str, target: str, *, overwrite: bool) -> None:
    """Put a staged file in its place. Paths are texts: making objects of them takes longer than moving a file."""
    if overwrite:
        os.replace(staged, target)  # noqa: PTH105
        return
    try:
        # link() fails if the target exists; rename() would silently replace what came there meanwhile.
        os.link(staged, target)
    except FileExistsError:
        raise DestinationExistsError(
            f"{target} appeared while the download ran", hint="Give another folder.", paths=(target,)
        ) from None
    except OSError:
        if os.path.exists(target):  # noqa: PTH110
            raise
        os.rename(staged, target)  # noqa: PTH104 (a disk without hard links)


def _take_back(items: Iterable[Item], staging: Path, destination: Path) -> None:
    """Remove what was moved in, which is what is no longer staged or lies at both places."""
    for item in items:
        staged, target = staging / item.path, destination / item.path
        if not isinstance(item, EmptyFolder) and (not staged.exists() or (target.exists() and target.samefile(staged))):
            target.unlink(missing_ok=True)
