"""NumPy arrays as .npy files, never with pickles inside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from metamlflow.errors import InvalidInputError
from metamlflow.objects.serializer import Serializer, Trusted, is_of, refused
from metamlflow.tables.reading import imported

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
            raise refused(value, "it would come back as a plain array", "Save numpy.asarray(array), and its mask if any.")
        if value.dtype.hasobject:
            raise refused(value, f"arrays of Python objects (type {value.dtype}) would need a pickle", _OBJECTS)
        try:
            found = numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(value.dtype))
        except (ValueError, TypeError, UserWarning):
            found = None
        if found != value.dtype or value.dtype.metadata:
            raise refused(value, f"its type {value.dtype!r} would come back as {found!r}", _OBJECTS)
        with path.open("xb") as file:
            numpy.lib.format.write_array(file, value, allow_pickle=False)

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (an array runs no code)
        """Return the array, if the file has exactly the values that its header states."""
        form = imported("numpy", "pandas").lib.format
        with path.open("rb") as file:
            try:
                version = form.read_magic(file)
                header = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}.get(version)
                if header is not None:  # before memory is taken; version 3 is for field names, and is rare
                    shape, _, kind = header(file)
                    expected = math.prod(shape) * kind.itemsize
                    if kind.hasobject or expected != path.stat().st_size - file.tell():
                        raise ValueError("it holds objects, or not the values that its header states")
                file.seek(0)
                return form.read_array(file, allow_pickle=False)
            except (ValueError, TypeError, OverflowError, EOFError) as error:
                raise InvalidInputError(f"the file is not a NumPy array of plain values: {error}") from error
