"""The commands for pointers: data that stays where it is."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metamlflow.cli.arguments import client_for, read_inputs, read_metadata
from metamlflow.cli.completion import names
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import (
    DebugOption,
    IdempotencyOption,
    InputsOption,
    JsonOption,
    MetaFileOption,
    MetaOption,
    OptionsOption,
    ReferenceArgument,
    SourceOptionsOption,
    StoreOption,
    TypeOption,
    UnchangedOption,
)
from metamlflow.cli.output import emit, emit_document, emit_rows, note
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.signals import interruptible

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact

pointer_app = typer.Typer(
    name="pointer",
    help="Register data that stays where it is, strengthen its evidence, copy it into the store, refresh it.",
    short_help="Data that stays where it is.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@pointer_app.callback()
def root(context: typer.Context) -> None:
    """Show the help and exit with a usage error if no command is given."""
    if context.invoked_subcommand is None:
        note(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


@pointer_app.command(short_help="Register data that stays where it is.")
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as lake/events.", autocompletion=names)],
    uri: Annotated[
        str,
        typer.Argument(
            metavar="URI",
            help="An object, a prefix (ends in /) or a glob: s3://, gs://, https://, a path of this machine, or any "
            "other place that fsspec opens.",
        ),
    ],
    store: StoreOption = None,
    artifact_type: TypeOption = "dataset",
    evidence: Annotated[
        Literal["stat", "checksum", "full"] | None,
        typer.Option(
            help="stat: size, and ETag or time; checksum: a digest that the server holds; full: every byte is read. "
            "[default: the strongest that costs no more than finding the data]"
        ),
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="For one object: the digest it must have, such as sha256:<64 hex>."),
    ] = None,
    meta: MetaOption = None,
    meta_file: MetaFileOption = None,
    inputs: InputsOption = None,
    if_unchanged: UnchangedOption = "new_version",
    idempotency_key: IdempotencyOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Register data that stays where it is as the next version of NAME, and print NAME@VERSION."""
    metadata = read_metadata(meta_file, meta)
    client = client_for(store, options, source_options)
    with interruptible() as interruption, shown_progress("registering", interruption) as progress:
        artifact = client.register_pointer(
            name,
            uri,
            artifact_type,
            metadata,
            evidence=evidence,
            expected=expected,
            inputs=read_inputs(inputs),
            if_unchanged=if_unchanged,
            idempotency_key=idempotency_key,
            progress=progress,
        )
    _show(artifact, as_json=as_json)


@pointer_app.command(short_help="Publish the next version with stronger evidence.")
def strengthen(
    reference: ReferenceArgument,
    evidence: Annotated[
        Literal["checksum", "full"], typer.Option(help="full reads every byte; checksum asks the servers for digests.")
    ] = "full",
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Publish the next version with stronger evidence, and print it. Fails if the data changed since."""
    artifact = client_for(store, options, source_options).get_artifact(reference)
    with interruptible() as interruption, shown_progress("reading", interruption) as progress:
        _show(artifact.strengthen(evidence, progress=progress), as_json=as_json)


@pointer_app.command(short_help="Publish the next version with the data copied into the store.")
def materialize(
    reference: ReferenceArgument,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Publish the next version with the data copied into the store, and print it. Fails if the data changed since."""
    artifact = client_for(store, options, source_options).get_artifact(reference)
    with interruptible() as interruption, shown_progress("storing", interruption) as progress:
        _show(artifact.materialize(progress=progress), as_json=as_json)


@pointer_app.command(short_help="Check the data again; publish the next version if it changed.")
def refresh(
    reference: ReferenceArgument,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Check the data again, publish the next version only if it changed, and print the changes.

    In a pipe: one line for each change, with added, removed or modified and the path, separated by a tab; then the
    version.
    """
    artifact = client_for(store, options, source_options).get_artifact(reference)
    with interruptible() as interruption, shown_progress("looking", interruption) as progress:
        done = artifact.refresh(progress=progress)
    changes = {what: getattr(done.changes, what) for what in ("added", "removed", "modified")}
    if as_json:
        document = done.artifact.to_json()
        emit_document(
            "refresh", {"changed": bool(done), "counts": done.changes.counts, **changes, "artifact": document}
        )
        return
    emit_rows((what, path) for what, paths in changes.items() for path in paths)
    if not done:
        note("nothing changed")
    emit(f"{done.artifact.name}@{done.artifact.version}")


@pointer_app.command(short_help="Record that pointed data has moved.")
def relocate(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The old place: an object, a folder or a prefix.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new place.")],
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Record that pointed data has moved, after every byte of it was found at NEW.

    Prints the number of files. Fails for data that was registered without a digest: strengthen it first.
    """
    client = client_for(store, options, source_options)
    with interruptible() as interruption, shown_progress("reading", interruption) as progress:
        files = client.relocate(old, new, progress=progress)
    if as_json:
        emit_document("relocation", {"old": old, "new": new, "files": files})
    else:
        emit_rows([(old, new, files)])


def _show(artifact: Artifact, *, as_json: bool) -> None:
    if as_json:
        emit_document("artifact", artifact.to_json())
    else:
        emit(f"{artifact.name}@{artifact.version}")
