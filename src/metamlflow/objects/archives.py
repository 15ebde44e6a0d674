"""Zip archives of strangers, which libraries unpack into memory without looking at their size."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path

from metamlflow._looks import bytes_text
from metamlflow.errors import InvalidInputError, UntrustedContentError
from metamlflow.objects.serializer import Trusted

_MOST_TIMES = 20  # skops and Keras do not compress; what is compressed well is seldom smaller
_ALWAYS = 64 * 1024 * 1024  # bytes


def check_archive(path: Path, trusted: Trusted, members: Collection[str]) -> None:
    """Refuse a file that is not an archive with some members, or whose members are very much larger than the archive.

    Python reads no more of a member than the archive states.

    Raises:
        UntrustedContentError: it unpacks to very much more, and the caller does not trust it.
        InvalidInputError: it is not such an archive, or is a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = set(archive.namelist())
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InvalidInputError(f"the file is not a zip archive, or a damaged one: {error!s:.300}") from error
    if missing := sorted(set(members) - found):
        raise InvalidInputError(f"the file is another kind of archive: it has no {', '.join(missing)}")
    packed = path.stat().st_size
    if trusted is not True and unpacked > max(_ALWAYS, _MOST_TIMES * packed):
        raise UntrustedContentError(
            f"the archive has {bytes_text(packed)} and unpacks to {bytes_text(unpacked)}, which may fill the memory",
            hint="If you trust everybody who may write to the store: load(trusted=True).",
        )
