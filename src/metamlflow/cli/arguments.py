"""Parsing of command arguments: a store, a source, metadata, a duration."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from metamlflow._arguments import absolute_path, blamed_on, parse_size
from metamlflow.cli.output import note
from metamlflow.cli.signals import Interruption, PipeReader
from metamlflow.cli.wording import in_the_shell
from metamlflow.errors import InvalidInputError

if TYPE_CHECKING:
    from metamlflow.client import MetaMLFlowClient

URI_VARIABLE = "METAMLFLOW_STORAGE_URI"
STDIN = "-"

_DURATION = re.compile(r"([1-9][0-9]{0,8})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=3650)
_DIGITS = 18
_WHOLE = re.compile(rf"[+-]?[0-9]{{1,{_DIGITS}}}")


def client_for(
    store: str | None,
    options: Sequence[str] | None,
    source_options: Sequence[str] | None = None,
    *,
    place: str = "--store",
    option: str = "--option",
) -> MetaMLFlowClient:
    """Return a client of the store that ``--store``, ``--option`` and ``--source-option`` give.

    Args:
        store: the URI of the store.
        options: the values of ``option``.
        source_options: the values of ``--source-option``.
        place: the option or argument that gave the store, for messages.
        option: the option that gave its options, for messages.

    Raises:
        InvalidInputError: no store is given, or its place is invalid; the message names the option or variable.
    """
    given = parse_assignments(options, option, nested=True) if options else None
    if not (store if store is not None else os.environ.get(URI_VARIABLE)):
        raise InvalidInputError(
            "no store was named", hint=f"Give --store, such as --store ./store, or set {URI_VARIABLE}."
        )
    from metamlflow.client import MetaMLFlowClient

    external_stores = parse_assignments(source_options, "--source-option", nested=True) if source_options else None
    try:
        return MetaMLFlowClient(store, storage_options=given, source_options=external_stores)
    except InvalidInputError as error:
        names = {"storage_uri": place, "storage_options": option, "source_options": "--source-option"}
        error.message = in_the_shell(error.message, names)
        error.hint = error.hint and in_the_shell(error.hint, names)
        raise


def source_in(paths: Sequence[str], interruption: Interruption) -> Any:
    """Return the source for ``register_artifact``; ``-`` is stdin.

    Raises:
        typer.BadParameter: stdin is one of several, or closed.
    """
    if STDIN not in paths:
        return paths[0] if len(paths) == 1 else list(paths)
    if len(paths) > 1:
        raise typer.BadParameter("'-' (stdin) must be the only one; its content has no name", param_hint="PATH...")
    if sys.stdin is None:
        raise typer.BadParameter("stdin is closed", param_hint="PATH...")
    if sys.stdin.isatty():
        note("reading from the terminal; Ctrl-D ends the input")
    # A redirected file can be read twice if necessary; reading a pipe may block.
    return sys.stdin.buffer if sys.stdin.seekable() else PipeReader(sys.stdin.fileno(), interruption)


def parse_duration(text: str, option: str) -> timedelta:
    """Return the duration of a text such as ``36h`` or ``7d``.

    Raises:
        typer.BadParameter: it is not a duration, or longer than ten years.
    """
    match = _DURATION.fullmatch(text)
    try:
        duration = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    except OverflowError:
        duration = timedelta.max
    if duration is None or duration > _LONGEST:
        raise typer.BadParameter(
            f"{text!r} is not a duration between 1m and {_LONGEST.days}d; give a number with m (minutes), h, d or w",
            param_hint=option,
        )
    return duration


def parse_whole(text: str, option: str, least: int) -> int:
    """Return a text as a whole number.

    Raises:
        typer.BadParameter: it is not a whole number, or is less than ``least``.
    """
    if not _WHOLE.fullmatch(text) or int(text) < least:
        most = f"to {'9' * _DIGITS}" if text.isdecimal() and len(text) > _DIGITS else "on"
        raise typer.BadParameter(f"{text!r:.40} is not a whole number from {least} {most}", param_hint=option)
    return int(text)


def parse_rate(text: str, option: str) -> float:
    """Return a text as a number above 0.

    Raises:
        typer.BadParameter: it is not a finite number above 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise typer.BadParameter(f"{text!r:.40} is not a number above 0, such as 50 or 0.5", param_hint=option)
    return number


def parse_byte_rate(text: str, option: str) -> int:
    """Return a text such as ``50MB`` as a number of bytes above 0.

    Raises:
        InvalidInputError: it is not a size above 0.
    """
    with blamed_on(option):
        if not (size := parse_size(text)):
            raise InvalidInputError(f"{text!r:.40} is not a size above 0")
        return size


def file_to_write(text: str, option: str) -> Path:
    """Return the path of a file to write, checked now so that the command does not fail after its work.

    Raises:
        InvalidInputError: it is a folder, its folder does not exist, or it may not be written.
    """
    file = Path(absolute_path(text))
    if not text or file.is_dir() or not file.parent.is_dir():
        why = f"{file} is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise InvalidInputError(
            f"{option}: the file cannot be written: {why}", hint="Give a file, in a folder that is there."
        )
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise InvalidInputError(
            f"{option}: the file {file} cannot be written: access is denied", hint="Give another file."
        )
    return file


def parse_assignments(pairs: Iterable[str], option: str, *, nested: bool = False) -> dict[str, Any]:
    """Return the values by key. A value is parsed as JSON if it is JSON; otherwise it is the text as given.

    Args:
        pairs: pairs such as ``["rows=200", "owner=ml"]``.
        option: the option that gave them, for messages, which never show a value because it may be a secret.
        nested: a dot in a key leads into an object: ``a.b=1`` gives ``{"a": {"b": 1}}``. A key may begin with a URI
            that ends in a slash: ``https://host/.headers.X=1``.

    Raises:
        typer.BadParameter: a pair lacks ``=`` or its key, or a key is given twice.
    """
    result: dict[str, Any] = {}
    for number, pair in enumerate(pairs, 1):
        key, separator, text = pair.partition("=")
        *parents, last = _parts(key) if nested else [key]
        if not separator or not last or not all(parents):
            raise typer.BadParameter(f"number {number} is not of the form key=value", param_hint=option)
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise typer.BadParameter(f"{key!r} leads into {parent!r}, which is a value already", param_hint=option)
        if last in place:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint=option)
        place[last] = _value(text)
    return result


def _parts(key: str) -> list[str]:
    if "://" not in key:
        return key.split(".")
    place, slash, rest = key.rpartition("/")  # dots before the last slash belong to the URI
    return [place + slash, *rest.removeprefix(".").split(".")]


def read_metadata(file: str | None, pairs: Iterable[str] | None) -> dict[str, Any]:
    """Return the metadata of ``--meta-file`` and ``--meta``, whose keys override those of the file.

    Raises:
        typer.BadParameter: the file cannot be read, or does not hold a JSON object.
    """
    given = parse_assignments(pairs or (), "--meta")
    if file is None:
        return given
    try:
        value = json.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{file!r} cannot be read: {error.strerror}", param_hint="--meta-file") from error
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{file!r} is not JSON in UTF-8: {error}", param_hint="--meta-file") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{file!r} does not hold a JSON object", param_hint="--meta-file")
    return value | given


def read_inputs(given: Iterable[str] | None) -> dict[str, list[str]] | list[str]:
    """Return the inputs of ``--input`` for ``register_artifact``: a mapping by role if they have roles."""
    if not given:
        return []
    from metamlflow.types import Reference

    split = [text.partition("=") for text in given]
    with blamed_on("--input"):
        for role, has_role, reference in split:
            Reference.parse(reference if has_role else role)
    pairs = [(role, reference) if has_role else ("", role) for role, has_role, reference in split]
    if not any(role for role, _ in pairs):
        return [reference for _, reference in pairs]
    if not all(role for role, _ in pairs):
        raise typer.BadParameter("give all of them a role, or none", param_hint="--input")
    by_role: dict[str, list[str]] = {}
    for role, reference in pairs:
        by_role.setdefault(role, []).append(reference)
    return by_role


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
