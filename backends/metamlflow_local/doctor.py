"""What to look at in a local folder, and the permissions that share one."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metamlflow.backend.diagnosis import AccessPolicy, Create, Examination, Observation, Role, StoreKeys
from metamlflow.backend.seam import Backend
from metamlflow_local.temp_files import is_ours

TEMP = ".tmp"
_SWEPT_AFTER_SECONDS = 24 * 3600
_LITTLE_ROOM = 1024**3
_MOUNTS = Path("/proc/self/mounts")
# Names as Linux lists them in /proc/mounts.
_WITH_LINKS = {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
_NETWORK = {"afs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4", "smb3"}
_WITHOUT_LINKS = {"exfat", "fuse.gcsfuse", "fuse.s3fs", "fuse.rclone", "msdos", "vfat"}
_NATIVE = "Use a store on a native disk (ext4, xfs, btrfs, zfs, apfs) or in an object store."


class LocalDoctor:
    """Makes the local backend :class:`~metamlflow.backend.diagnosis.Diagnosable`, and an adviser on access."""

    def creators(self: Backend) -> Mapping[str, Create]:
        """Return the one way: ``link()``."""
        return {"link": self.create}

    def examinations(self: Backend, marker: str) -> Iterator[Examination]:
        """Yield checks of the folder and its disk. Nothing is written."""
        root = Path(self.url.removeprefix("file://"))
        yield Examination("folder", partial(_folder, root), vital=True)
        yield Examination("disk", partial(_disk, root))
        yield Examination("hard-links", partial(_hard_links, root))
        yield Examination("case-folding", partial(_case_folding, root, marker))
        yield Examination("leftovers", partial(_leftovers, root / TEMP))

    def access_policy(self: Backend, role: Role, keys: StoreKeys) -> AccessPolicy:  # noqa: ARG002 (folders need no keys)
        """Return commands that let a group read, write or collect."""
        root = shlex.quote(self.url.removeprefix("file://"))
        lines = ["# As the owner of the folder; GROUP is the group of those people.", f"chgrp -R GROUP {root}"]
        if role == "reader":
            lines.append(f"chmod -R g+rX,g-w,o-rwx {root}")
        else:
            # 3: new folders inherit the group, and nobody removes or replaces the files of others. Collecting is that.
            mode = "2770" if role == "collector" else "3770"
            lines.append(f"find {root} -type d -exec chmod {mode} {{}} +")
            lines.append(f"find {root} -type f -exec chmod g+r,o-rwx {{}} +")
            lines.append("umask 007  # in the shell or unit of everybody who writes, before they write")
        return AccessPolicy("\n".join(lines), _NOTES[role])


_NOTES: Mapping[Role, tuple[str, ...]] = {
    "reader": ("Readers see what exists now; with the umask 077 a writer hides what it adds.",),
    "writer": (
        (
            "Stored files are read-only, and the sticky bit keeps everybody but a folder's owner from deleting what is "
            "others'. That guards against accidents: the owner of a file can still change it."
        ),
        "New folders inherit the group, and not the sticky bit: run the commands again from time to time.",
    ),
    "pruner": ("A folder knows no finer right: whoever may give versions up may register, too, and deletes nothing.",),
    "collector": ("Without the sticky bit everybody in the group may delete: give this to a group of its own.",),
}


def _folder(root: Path) -> Observation:
    try:
        status = root.stat()
    except FileNotFoundError:
        return Observation("unknown", f"{root} does not exist yet")
    found = f"{root}: mode {stat.S_IMODE(status.st_mode):04o}, uid {status.st_uid}, gid {status.st_gid}"
    if not stat.S_ISDIR(status.st_mode):
        return Observation("failed", f"{root} is not a folder", "Check the store's path.")
    if not os.access(root, os.R_OK | os.X_OK):
        return Observation(
            "failed", f"{found}; it cannot be read", "`metamlflow policy --role reader` prints what to set."
        )
    if not os.access(root, os.W_OK):
        remedy = "Enough for a reader. `metamlflow policy --role writer` prints what to set."
        return Observation("warning", f"{found}; it cannot be written", remedy)
    if status.st_mode & stat.S_IWOTH:
        return Observation("warning", f"{found}; everybody may write", f"chmod o-w {shlex.quote(str(root))}")
    return Observation("ok", found)


def _disk(root: Path) -> Observation:
    place = _existing(root)
    usage = shutil.disk_usage(place)
    disk = _disk_of(place)
    found = f"{disk.kind or 'a disk of unknown kind'}, {usage.free:,} of {usage.total:,} bytes free"
    if disk.read_only:
        return Observation("warning", f"{found}, read-only", "Enough for a reader.")
    if usage.free < _LITTLE_ROOM:
        return Observation("warning", found, "Free some space; a write that finds none leaves nothing behind.")
    if disk.kind in _NETWORK:
        return Observation(
            "warning",
            f"{found}; a network disk",
            "Its link() must be atomic between machines: that is so on NFS, and not proven here for others.",
        )
    return Observation("ok", found)


def _hard_links(root: Path) -> Observation:
    kind = _disk_of(_existing(root)).kind
    if kind in _WITHOUT_LINKS:
        return Observation("failed", f"{kind} has no hard links, so a version cannot be claimed safely", _NATIVE)
    if kind in _WITH_LINKS | _NETWORK:
        return Observation("ok", f"{kind} has them")
    # link() onto the marker fails because the marker is there, on every disk: so the probe proves nothing about this.
    return Observation(
        "unknown", "known only from a disk's kind without writing", "The first registration tells for sure."
    )


def _case_folding(root: Path, marker: str) -> Observation:
    if not (root / marker).exists():
        return Observation("unknown", "there is no file yet to look for under another name")
    if (root / marker.swapcase()).exists():
        return Observation(
            "ok", "the disk takes upper and lower case for the same; keys are spelled so that they stay apart"
        )
    return Observation("ok", "the disk tells upper from lower case")


def _leftovers(folder: Path) -> Observation:
    count = size = old = 0
    try:
        entries = [entry for entry in os.scandir(folder) if is_ours(entry.name)]
    except FileNotFoundError:
        entries = []
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # a writer at work
        count, size = count + 1, size + status.st_size
        old += status.st_mtime < time.time() - _SWEPT_AFTER_SECONDS
    found = f"{count} temporary files, {size:,} bytes, {old} of them older than a day"
    if old:
        return Observation("warning", found, "Killed processes left them; the next process that writes removes them.")
    return Observation("ok", found)


@dataclass(frozen=True, slots=True)
class _Disk:
    """What a place lies on; ``kind`` is None where the system does not tell."""

    kind: str | None
    read_only: bool


def _disk_of(place: Path) -> _Disk:
    read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    if not _MOUNTS.exists():
        return _Disk(None, read_only)
    best, kind = "", None
    resolved = str(place.resolve())
    for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
        mount, name = line.split()[1:3]
        mount = mount.replace("\\040", " ")
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):  # the last one on a place hides those before it
            best, kind = mount, name
    return _Disk(kind, read_only)


def _existing(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place
