"""Options and arguments that several commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from metamlflow.cli.arguments import URI_VARIABLE

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="URI", envvar=URI_VARIABLE, help="The store: a folder, or a URI such as s3://b/p."),
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="A storage option, as fsspec takes it; the value is JSON or text, a dot in the key leads into an object. "
        "Repeatable; given once, METAMLFLOW_STORAGE_OPTIONS is not read.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document; errors too are JSON, on stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the log, and the traceback of an error.")]
ReferenceArgument = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="VERSION is a number, 'latest' (the default) or an alias.")
]
SourceOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source-option",
        metavar="PLACE.KEY=VALUE",
        help="An option of data outside of the store, such as s3.profile=lake or https://host/.headers.X-Key=abc: of a "
        "scheme, or of a URI that ends in a slash. Repeatable; given once, METAMLFLOW_SOURCE_OPTIONS is not read.",
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
IdempotencyOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Names this registration: a second one under the key returns the first."),
]
InputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="[ROLE=]REF", help="What it was made from, such as features@2 or data=raw@1. Repeatable."
    ),
]
LevelOption = Annotated[
    Literal["full", "checksum", "stat"],
    typer.Option(
        help="full reads every byte; checksum compares what the storage recorded; stat looks at presence and size."
    ),
]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Keep here what is done: what was stopped goes on from there. Removed at the end.",
    ),
]
ObjectsPerSecondOption = Annotated[
    float | None, typer.Option("--objects-per-second", metavar="N", help="Look at or read no more objects a second.")
]
BytesPerSecondOption = Annotated[
    str | None, typer.Option("--bytes-per-second", metavar="SIZE", help="Read no more a second, such as 50MB.")
]
