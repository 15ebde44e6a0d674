"""Zip archives of strangers, which libraries unpack into memory without looking at their size."""

from __future__ import annotations

import zipfile
from pathlib import Path

from metamlflow._looks import bytes_text
from metamlflow.errors import InvalidInputError, UntrustedContentError
from metamlflow.objects.serializer import Trusted

_MOST_TIMES = 20  # skops and Keras do not compress; what is compressed well is seldom smaller
_ALWAYS = 64 * 1024 * 1024  # bytes


def check_unpacked_size(path: Path, trusted: Trusted) -> None:
    """Refuse an archive whose members are very much larger than the archive. Python reads no more than they state.

    Raises:
        UntrustedContentError: it is such an archive, and the caller does not trust it.
        InvalidInputError: it is a damaged archive.
    """
    if trusted is True or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InvalidInputError(f"the file is a damaged archive: {error!s:.300}") from error
    packed = path.stat().st_size
    if unpacked > max(_ALWAYS, _MOST_TIMES * packed):
        raise UntrustedContentError(
            f"the archive has {bytes_text(packed)} and unpacks to {bytes_text(unpacked)}, which may fill the memory",
            hint="If you trust everybody who may write to the store: load(trusted=True).",
        )
