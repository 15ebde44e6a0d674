"""Saving an object as a file that is registered, and loading it from a version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from metamlflow._looks import type_name, with_article
from metamlflow.errors import InvalidInputError, MetaMLFlowError, UntrustedContentError
from metamlflow.objects.registry import WITHOUT_FORMAT, serializer, serializer_for
from metamlflow.objects.serializer import Serializer, Trusted
from metamlflow.store.transfer.spooling import temp_folder


@dataclass(frozen=True, slots=True)
class Saved:
    """An object as a temporary file.

    Attributes:
        path: the file.
        artifact_type: the type of its artifact, unless the caller has another one.
        saved_as: the format, and behind a slash the kind of the object, if the format has several.
    """

    path: Path
    artifact_type: str
    saved_as: str


@contextmanager
def saved(value: Any, stem: str, name: str | None) -> Iterator[Saved]:
    """Yield an object as a temporary file.

    Args:
        value: the object.
        stem: the file's name without its extension.
        name: the format; None: it follows from the object's type.

    Raises:
        InvalidInputError: the object would come back as another one, or no format is known for it.
        MissingDependencyError: a package is needed for the format.
    """
    if name is None:
        writer, variant = serializer_for(value)
    else:
        writer = serializer(name)
        found = writer.variant_of(value)
        if found is None:
            raise _not_taken(value, name)
        variant = found
    with temp_folder() as folder:
        path = Path(folder, f"{stem}{writer.extension}")
        writer.write(value, path)
        yield Saved(path, writer.artifact_type, f"{writer.name}/{variant}" if variant else writer.name)


def _not_taken(value: Any, name: str) -> InvalidInputError:
    """Return the error for an object that a format does not take; it tells the one that does."""
    try:
        hint = f"Leave format out for {serializer_for(value)[0].name!r}."
    except InvalidInputError:
        hint = WITHOUT_FORMAT
    return InvalidInputError(f"the format {name!r} does not take {with_article(type_name(value))}", hint=hint)


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Add a note to each error: who raises it does not know the version."""
    try:
        yield
    except Exception as error:  # it is raised again as it is
        error.add_note(note)
        raise


def checked_format(reference: str, saved_as: str | None, trusted: Trusted) -> str:
    """Return the format to load a version in, before anything of it is fetched.

    Raises:
        InvalidInputError: no format is known, or it is not installed.
        UntrustedContentError: loading it may run code, and the caller does not trust it.
    """
    if saved_as is None:
        raise InvalidInputError(
            f"{reference} was not saved by client.save, so no format is recorded",
            hint="Read it with open(), read_bytes() or local_path(), a table with Dataset(artifact); or name its "
            "format: load(format='json').",
        )
    _trusted(saved_as, trusted)
    return saved_as


def _trusted(saved_as: str, trusted: Trusted) -> Serializer:
    """Return the serializer that loads a format.

    Raises:
        UntrustedContentError: loading it may run code, and the caller does not trust it.
        InvalidInputError: no such format is installed.
    """
    is_list = isinstance(trusted, list | tuple | set | frozenset) and all(isinstance(name, str) for name in trusted)
    if not isinstance(trusted, bool) and not is_list:
        raise InvalidInputError(f"trusted is True, False or a list of names of types, not {trusted!r:.80}")
    name = saved_as.partition("/")[0]
    reader = serializer(name)
    if reader.runs_code and trusted is not True:
        raise UntrustedContentError(
            f"loading the format {name!r} runs code that the file holds",
            hint="If you trust everybody who may write to the store: load(trusted=True). A signature tells the author.",
        )
    return reader


def load_object(reference: str, path: Path, saved_as: str, trusted: Trusted) -> Any:
    """Return the object of a verified file.

    Args:
        reference: the version, for errors.
        path: the file. Its name is not considered.
        saved_as: the format, and behind a slash the kind of the object.
        trusted: what the caller trusts.

    Raises:
        UntrustedContentError: loading it may run code, and the caller does not trust it.
        InvalidInputError: the content does not have the format. Code of the file raises its own errors.
    """
    reader = _trusted(saved_as, trusted)
    try:
        return reader.read(path, saved_as.partition("/")[2], trusted)
    except Exception as error:  # each library has errors of its own for content that it cannot read
        if not _is_of_content(error, runs_code=reader.runs_code):
            raise
        said = (str(error).strip() or type_name(error)).splitlines()[0]
        raise InvalidInputError(
            f"{reference} cannot be loaded as {saved_as!r:.80}: {said:.300}",
            hint="If its content has another format, name it: load(format=...); open() and local_path() give it as it "
            "is. If it has this one, a newer version of the library may read it.",
        ) from error


def _is_of_content(error: Exception, *, runs_code: bool) -> bool:
    """Return whether an error of a reader says that the content does not have the format."""
    if runs_code:
        return isinstance(error, UnpicklingError | EOFError)
    if isinstance(error, OSError):  # libraries raise it for damaged content too, then without a number
        return error.errno is None
    return not isinstance(error, MetaMLFlowError | ImportError | MemoryError)
