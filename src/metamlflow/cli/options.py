"""Options and arguments that several commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from metamlflow.cli.arguments import URI_VARIABLE
from metamlflow.cli.completion import references

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URI",
        # The client and not typer reads the variable, so that a message about a wrong value names the variable.
        help=f"The store: a folder, or a URI such as s3://bucket/prefix.  [env var: {URI_VARIABLE}]",
    ),
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="A storage option, as fsspec takes it; the value is JSON or text, a dot in the key leads into an object. "
        "Repeatable; if given, METAMLFLOW_STORAGE_OPTIONS is not read.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document; errors too are JSON, on stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the log, and the traceback of an error.")]
ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]",
        help="VERSION is a number, 'latest' (the default) or an alias.",
        autocompletion=references,
    ),
]
SourceOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source-option",
        metavar="PLACE.KEY=VALUE",
        help="An option for data outside of the store, such as s3.profile=lake or https://host/.headers.X-Key=abc: for "
        "a scheme, or for a URI that ends in a slash. Repeatable; if given, METAMLFLOW_SOURCE_OPTIONS is not read.",
    ),
]
TypeOption = Annotated[str, typer.Option("--type", metavar="TYPE", help="A label: file, dataset, model, or your own.")]
MetaOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Metadata; the value is read as JSON if it is JSON (rows=200, ok=true), else as text. Repeatable.",
    ),
]
MetaFileOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="A JSON object with metadata; --meta overrides its keys.")
]
UnchangedOption = Annotated[
    Literal["new_version", "reuse"],
    typer.Option(help="What to do if content, type and metadata are those of the newest version."),
]
ProveOption = Annotated[
    Literal["stat", "checksum", "full"] | None,
    typer.Option(
        help="How to check content that is in the store already: its size, the digest that the storage holds, or "
        "every byte. Missing or damaged content is put back. [default: one check of size that costs almost nothing]"
    ),
]
IdempotencyOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Names this registration: a second one under the key returns the first."),
]
InputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="[ROLE=]REF",
        help="A version it was made from, such as features@2 or data=raw@1. Repeatable.",
    ),
]
LevelOption = Annotated[
    Literal["full", "checksum", "stat"],
    typer.Option(help="full reads every byte; checksum compares the storage's digests; stat checks presence and size."),
]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Record finished work here, to continue from there after an interruption. Removed at the end.",
    ),
]
ObjectsPerSecondOption = Annotated[
    str | None,
    typer.Option("--objects-per-second", metavar="N", help="Check or read at most this many objects per second."),
]
BytesPerSecondOption = Annotated[
    str | None,
    typer.Option("--bytes-per-second", metavar="SIZE", help="Read at most this much per second, such as 50MB."),
]
