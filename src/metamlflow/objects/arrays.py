"""NumPy arrays as .npy files, never with pickles inside."""

from __future__ import annotations

import math
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

from metamlflow._packages import imported
from metamlflow.errors import InvalidInputError
from metamlflow.objects.serializer import Serializer, Trusted, is_of, refused

_MOST_HEADER = (
    0xFFFF  # bytes, the room of the first version of the format; NumPy reads 10,000 unless it is told otherwise
)
_UNREADABLE = (
    *(ValueError, TypeError, OverflowError, EOFError, SyntaxError, RecursionError, TokenError),
    MemoryError,  # the parser's stack overflowed
)
_OBJECTS = "Give it a plain type, such as array.astype(float) or array.astype(str), or save what its tolist() returns."


class NumpyArray(Serializer):
    """An array of plain values: numbers, bools, texts, bytes, times, and structures of these."""

    name = "npy"
    extension = ".npy"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take arrays; subclasses are refused when they are written, with the remedy."""
        return "" if is_of(value, "numpy", "ndarray") else None

    def write(self, value: Any, path: Path) -> None:
        """Write it, without pickles."""
        numpy = imported("numpy", "pandas")
        if type(value) is not numpy.ndarray:
            raise refused(
                value, "it would come back as a plain array", "Save numpy.asarray(array), and its mask if any."
            )
        if value.dtype.hasobject:
            raise refused(value, f"arrays of Python objects (type {value.dtype}) would need a pickle", _OBJECTS)
        try:
            found = numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(value.dtype))
        except (ValueError, TypeError, UserWarning):
            found = None
        if found != value.dtype or value.dtype.metadata:
            raise refused(value, f"its type {value.dtype!r} would come back as {found!r}", _OBJECTS)
        with path.open("xb") as file:
            try:
                numpy.lib.format.write_array(file, value, version=(1, 0), allow_pickle=False)
            except UnicodeError as error:
                raise refused(
                    value, f"NumPy does not write it: {error}", "Name its fields in Latin letters."
                ) from error
            except ValueError as error:
                raise _too_many(value) from error
        _check_header(numpy.lib.format, path, value)

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (an array runs no code)
        """Return the array, if the file has exactly the values that its header states."""
        form = imported("numpy", "pandas").lib.format
        with path.open("rb") as file:
            try:
                _check_size(form, file, path.stat().st_size)
                file.seek(0)
                return form.read_array(file, allow_pickle=False, max_header_size=_MOST_HEADER)
            except _UNREADABLE as error:
                raise InvalidInputError(f"the file is not a NumPy array of plain values: {error!s:.300}") from error


def _check_header(form: Any, path: Path, array: Any) -> None:
    """Refuse an array whose header NumPy writes but does not read, such as one that is nested too deeply."""
    with path.open("rb") as file:
        try:
            _check_size(form, file, path.stat().st_size)
        except _UNREADABLE as error:
            raise _too_many(array) from error


def _too_many(array: Any) -> InvalidInputError:
    reason = f"its fields are too many, or nested too deeply, for a header of {_MOST_HEADER:,} bytes"
    return refused(array, reason, "Save a data frame, or several arrays.")


def _check_size(form: Any, file: BinaryIO, size: int) -> None:
    """Compare the size of a file with its header, before memory is taken for the values that it states.

    Raises:
        ValueError: they differ, or it holds objects.
    """
    version = form.read_magic(file)
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its version is {version}")
    size_bytes = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(size_bytes), "little")
    if length > _MOST_HEADER:
        raise ValueError(f"its header has {length:,} bytes, more than {_MOST_HEADER:,}")
    file.seek(-size_bytes, 1)
    shape, _, kind = readers[version](file, max_header_size=_MOST_HEADER)
    if kind.hasobject or math.prod(shape) * kind.itemsize != size - file.tell():
        raise ValueError("it holds objects, or not the values that its header states")
