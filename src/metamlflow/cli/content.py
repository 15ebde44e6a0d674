"""The commands that show content: ``cat`` writes a file to stdout, and ``open`` opens it with a program."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

import codecs
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, BinaryIO

import typer

from metamlflow.cli.arguments import client_for
from metamlflow.cli.options import (
    DebugOption,
    JsonOption,
    OptionsOption,
    ReferenceArgument,
    SourceOptionsOption,
    StoreOption,
)
from metamlflow.cli.output import OutputClosedError, emit, emit_document, printable
from metamlflow.errors import InvalidInputError

content_app = typer.Typer()

PathArgument = Annotated[
    str | None, typer.Argument(metavar="PATH", help="The file's path in the version; optional if there is just one.")
]
_CHUNK = 1024 * 1024
# Programs open these as data. Others may run code, such as scripts in HTML or in an image, or a program itself.
_HARMLESS = (
    *(".arrow", ".avro", ".feather", ".npy", ".npz", ".orc", ".parquet", ".pq"),
    *(".csv", ".json", ".jsonl", ".log", ".md", ".ndjson", ".text", ".toml", ".tsv", ".txt", ".yaml", ".yml"),
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pdf", ".png", ".tif", ".tiff", ".webp"),
    *(".flac", ".mp3", ".mp4", ".wav", ".webm"),
)


@content_app.command(short_help="Write a file of a version to stdout, verified.")
def cat(
    reference: ReferenceArgument,
    path: PathArgument = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the content of a file to stdout, verified while it is read: damaged content ends with an error.

    On a terminal only text is shown, with control characters escaped. In a pipe every byte is as it was registered;
    --json concerns errors alone.
    """
    artifact = client_for(store, options, source_options).get_artifact(reference)
    with _file_named():
        content = artifact.open(path)
    with content:
        if sys.stdout.isatty():
            _show_text(content)
        else:
            _write(content)


def _write(content: BinaryIO) -> None:
    sys.stdout.flush()
    try:
        shutil.copyfileobj(content, sys.stdout.buffer, _CHUNK)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise OutputClosedError from None


def _show_text(content: BinaryIO) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := content.read(_CHUNK):
            text = decoder.decode(chunk)
            if "\0" in text:
                raise _binary()
            sys.stdout.write(printable(text.replace("\r\n", "\n"), keep="\n\t"))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _binary() from None
    except BrokenPipeError:
        raise OutputClosedError from None


def _binary() -> InvalidInputError:
    return InvalidInputError(
        "the file is not text in UTF-8, and is not shown on a terminal",
        hint="Send it elsewhere, as in: metamlflow cat … > FILE; or use `metamlflow get`.",
    )


@content_app.command("open", short_help="Open a file of a version with a program.")
def open_file(
    reference: ReferenceArgument,
    path: PathArgument = None,
    program: Annotated[
        str | None,
        typer.Option("--with", metavar="PROGRAM", help="The program, with its options. [default: that of the system]"),
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Open nothing, and print the path of the local copy.")
    ] = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Open a verified, read-only local copy of a file, or of all files as a folder, and print its path.

    The system chooses the program by the file's extension. A file that could run code, as most kinds of files can, is
    only opened with a program that you name.
    """
    artifact = client_for(store, options, source_options).get_artifact(reference)
    command = None if only_print else _command(program)
    if command and program is None:
        _refuse_code(artifact.entries[0].path if path is None and len(artifact.entries) == 1 else path)
    copy = artifact.local_path(path)
    if command:
        _start([*command, str(copy)])
    if as_json:
        emit_document("opened", {"name": artifact.name, "version": artifact.version, "path": str(copy)})
    else:
        emit(str(copy))


def _refuse_code(path: str | None) -> None:
    """Refuse a file that may run code; a folder (None) is shown by whatever shows folders."""
    if path is None:
        return
    if not path.lower().endswith(_HARMLESS):
        raise InvalidInputError(
            f"{path!r:.200} could run code when the system opens it",
            hint="Name the program, as in --with less; or --print only prints the path of the local copy.",
        )


def _command(program: str | None) -> list[str]:
    words = shlex.split(program) if program is not None else ["open" if sys.platform == "darwin" else "xdg-open"]
    if not words or shutil.which(words[0]) is None:
        raise InvalidInputError(
            f"the program {words[0] if words else ''!r} was not found",
            hint="Name one, as in --with less; or --print only prints the path of the local copy.",
        )
    return words


def _start(command: list[str]) -> None:
    code = subprocess.run(command, check=False).returncode  # noqa: S603 (the user's own program, without a shell)
    if code:
        raise InvalidInputError(f"{command[0]} ended with {code}", hint="--with names another program.")


@contextmanager
def _file_named() -> Iterator[None]:
    """Name the argument of these commands in the hint of an error about a missing path."""
    try:
        yield
    except InvalidInputError as error:
        error.hint = error.hint and error.hint.replace("Give path=, such as", "Give PATH, such as")
        raise
