"""The interface of a serializer, which turns objects of some types into one file and back."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from metamlflow._looks import type_name
from metamlflow.errors import InvalidInputError

Trusted = bool | Collection[str]
"""What a caller of ``artifact.load`` trusts: nothing (False), everything (True), or the types with these names."""


class Serializer(ABC):
    """Turns objects of some types into one file, and back. docs/howto/save-and-load.md shows how to write one.

    Attributes:
        name: the name of the format, as versions record it: lower-case letters, digits and ``-``.
        extension: of the file, with its dot, such as ``.npy``.
        artifact_type: the type of the artifact, unless the caller gives one.
        runs_code: whether reading a file may run code that the file holds. Such a file is read with ``trusted=True``
            only. True unless a serializer says otherwise.
        only_by_name: never chosen by an object's type; ``client.save`` uses it only with ``format=``.
    """

    name: ClassVar[str]
    extension: ClassVar[str]
    artifact_type: ClassVar[str] = "file"
    runs_code: ClassVar[bool] = True
    only_by_name: ClassVar[bool] = False

    @abstractmethod
    def variant_of(self, value: Any) -> str | None:
        """Return which of its kinds of objects this is, ``""`` if it has only one, or None if it takes no such object.

        Do not import a library for this: an object of a library that is not in ``sys.modules`` cannot exist.
        """

    @abstractmethod
    def write(self, value: Any, path: Path) -> None:
        """Write the object to a new file.

        Raises:
            InvalidInputError: :meth:`read` would return another object.
        """

    @abstractmethod
    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:
        """Return the object of a file. The file may be anybody's: check what it holds before relying on it.

        Args:
            path: a local file, which is not to be changed.
            variant: the kind of the object, as recorded; it may be any text.
            trusted: what the caller trusts.
        """


def is_of(value: object, module: str, *names: str) -> bool:
    """Return whether an object is an instance of a class of a module, without importing that module."""
    loaded = sys.modules.get(module)
    kinds = tuple(kind for name in names if isinstance(kind := getattr(loaded, name, None), type))
    return isinstance(value, kinds)


def refused(value: object, reason: str, hint: str) -> InvalidInputError:
    """Return the error for an object that a format would change."""
    return InvalidInputError(f"this {type_name(value)} cannot be saved: {reason}; nothing was registered", hint=hint)


def unknown_variant(serializer: Serializer, variant: str) -> InvalidInputError:
    """Return the error for a recorded kind that the serializer does not have."""
    return InvalidInputError(
        f"the format {serializer.name!r} has no kind {variant!r:.80}", hint="A newer version of metamlflow may know it."
    )
