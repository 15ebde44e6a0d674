"""Convert the argument of ``register_artifact`` to a source of files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from metamlflow._arguments import blamed_on
from metamlflow._looks import type_name
from metamlflow.errors import InvalidInputError, InvalidPathError
from metamlflow.model.paths import path_problem
from metamlflow.model.pointers import Pointer
from metamlflow.store.ingest.sources import (
    Collection,
    OptionsOf,
    SingleFile,
    Source,
    SourceFile,
    is_one_file,
    no_options,
)

PointerSource = Callable[[Pointer], Source]


def source_of(
    value: Any,
    default_name: str,
    *,
    store_url: str = "",
    point: PointerSource | None = None,
    options_of: OptionsOf = no_options,
) -> Source:
    """Return the value that a caller registers as a source. A mapping or list with one file is that file.

    Args:
        value: a path, an fsspec URL, bytes, a binary file object, a list of them, or a mapping of logical path to them.
        default_name: the file name of content without a name of its own.
        store_url: the URL of the store: a folder that contains it is refused.
        point: returns the source that a pointer leads to; without it, pointers are refused.
        options_of: returns the options for a URL.

    Raises:
        SourceNotFoundError: a path or URL does not exist.
        InvalidInputError: ``value`` cannot be registered.
    """
    try:
        source = _source_of(value, default_name, store_url, point, options_of)
    except RecursionError as error:
        raise InvalidInputError(
            "the mapping holds itself, or is nested too deeply", hint="Give whole paths in one mapping: {'a/b': data}."
        ) from error
    if is_one_file(source):
        source.kind = "file"
    return source


def _source_of(
    value: Any, default_name: str, store_url: str, point: PointerSource | None, options_of: OptionsOf
) -> Source:
    from metamlflow.store.ingest.streams import file_object_source

    if isinstance(value, Mapping):
        return _mapping_source(value, store_url, point, options_of)
    if isinstance(value, Pointer) and point is not None:
        return point(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return _list_source(value, store_url, options_of)
    # Before paths, because some file objects have a path: a file that is being written is not yet complete there.
    if (source := file_object_source(value, default_name)) is not None:
        return source
    if isinstance(value, str | os.PathLike):
        from metamlflow.store.ingest.filesystems import place_source

        return place_source(os.fspath(value), store_url, options_of)
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes_source(value, default_name)
    raise InvalidInputError(
        f"a value of type {type_name(value)} cannot be registered",
        hint="Give a path, a URL, bytes, a binary file object, or a list or mapping of those; "
        "metamlflow.Dataset.register(client, name, frame) registers data frames, also in a mapping.",
    )


def _mapping_source(
    mapping: Mapping[Any, Any], store_url: str, point: PointerSource | None, options_of: OptionsOf
) -> Source:
    from metamlflow.store.ingest.streams import refuse_shared

    if not mapping:
        raise InvalidInputError("an empty mapping registers nothing", hint="Give at least one file.")
    refuse_shared(mapping)
    members = {}
    for path, item in mapping.items():
        logical = _logical(path)
        with blamed_on(f"the value of {logical!r:.200}"):
            members[logical] = _source_of(item, "data", store_url, point, options_of)
    if len(members) < len(mapping):
        raise InvalidPathError("two keys of the mapping, a text and a path, are the same logical path")
    return Collection(members)


def _bytes_source(value: bytes | bytearray | memoryview, default_name: str) -> Source:
    try:
        data = bytes(value)
    except ValueError as error:
        raise InvalidInputError(f"the memory cannot be read: {error}", hint="Give it before its release.") from error
    return SingleFile(SourceFile(default_name, len(data), lambda: io.BytesIO(data)))


def _logical(path: Any) -> str:
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if problem := path_problem(path):
        raise InvalidPathError(
            f"invalid logical path {path!r:.200}: {problem}", problems=(f"{path!r:.200}: {problem}",)
        )
    return cast("str", path)


def _list_source(values: Sequence[Any], store_url: str, options_of: OptionsOf) -> Source:
    from metamlflow.store.ingest.streams import is_open_file

    if not values:
        raise InvalidInputError("an empty list registers nothing", hint="Give at least one file.")
    members: dict[str, Source] = {}
    twice = []
    for value in values:
        if not isinstance(value, str | os.PathLike) and not is_open_file(value):
            raise InvalidInputError(
                f"a list holds paths or URLs, not {type(value).__name__}",
                hint="Give a mapping of logical path to content instead.",
            )
        source = _source_of(value, "data", store_url, None, options_of)
        name = source.file.path if isinstance(source, SingleFile) else _folder_name(os.fsdecode(value))
        if name in members:
            twice.append(f"{name!r}: two files of the list have this name")
        members[_logical(name)] = source
    if twice:
        raise InvalidPathError(
            "the files of a list are stored under their names, and some are equal:\n  " + "\n  ".join(twice),
            hint="Give a mapping of logical path to file instead.",
            problems=tuple(twice),
        )
    return Collection(members)


def _folder_name(place: str) -> str:
    if "://" in place:
        place = place.partition("::")[0]  # the rest names the archive that contains the folder
    return place.rstrip("/").rpartition("/")[2]
