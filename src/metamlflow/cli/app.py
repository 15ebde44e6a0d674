"""The commands."""

# typer reads each option from a parameter, so flags are positional in Python (FBT). The parameter `debug` only makes
# typer accept the option; entry.py reads it (ARG001).
# ruff: noqa: ARG001, FBT001, FBT002

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metamlflow.cli.aliases import alias_app, rollback_app
from metamlflow.cli.arguments import client_for, parse_duration, parse_whole, read_inputs, read_metadata, source_in
from metamlflow.cli.collecting import collecting_app
from metamlflow.cli.completion import names, references
from metamlflow.cli.content import content_app
from metamlflow.cli.correct import correct_app
from metamlflow.cli.diff import diff_app
from metamlflow.cli.doctor import doctor_app
from metamlflow.cli.du import du_app
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.find import find_app
from metamlflow.cli.fsck import fsck_app
from metamlflow.cli.lineage import lineage_app
from metamlflow.cli.migrate import migration_app
from metamlflow.cli.notes import note_rows, notes_app, notes_shown
from metamlflow.cli.options import (
    BytesPerSecondOption,
    DebugOption,
    IdempotencyOption,
    InputsOption,
    JsonOption,
    LevelOption,
    MetaFileOption,
    MetaOption,
    ObjectsPerSecondOption,
    OptionsOption,
    ProveOption,
    ReferenceArgument,
    ResumeOption,
    SourceOptionsOption,
    StoreOption,
    TypeOption,
    UnchangedOption,
)
from metamlflow.cli.output import emit, emit_document, emit_rows, note
from metamlflow.cli.pointers import pointer_app
from metamlflow.cli.progress import shown_progress
from metamlflow.cli.prune import protection_rows, protections_shown, prune_app
from metamlflow.cli.repair import repair_app
from metamlflow.cli.rows import ALIASES, LEFT_OUT, LISTED, entry_rows, fact_rows, listed_document, listed_row
from metamlflow.cli.signals import interruptible
from metamlflow.cli.verify import Limits, check_all

# Commands import the client themselves, so that `--help` and a mistyped option are answered at once.

app = typer.Typer(
    help="Versioned, immutable, verified machine-learning artifacts in nothing but an object store.",
    epilog="Exit codes: 0 good, 1 a check failed, 2 usage, 3 not found, 4 conflict, 5 access, network or storage, "
    "130 interrupted. Data goes to stdout, everything else to stderr.",
    add_completion=True,
    pretty_exceptions_enable=False,
    # Plain help starts faster, and is the same in a pipe.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from metamlflow import __version__

        emit(f"metamlflow {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: DebugOption = False,
) -> int | None:
    """Show the help and exit with a usage error if no command is given."""
    if context.invoked_subcommand is not None:
        return None
    note(context.get_help())
    raise typer.Exit(ExitCode.USAGE)


@app.command(short_help="Create a store.")
def init(
    store: StoreOption = None,
    grace: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long blobs that no version names are kept, such as 36h, 7d or 2w; a constant of the store. "
            "[default: 7d]",
        ),
    ] = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Create a store, and print its URL. Does nothing if it exists.

    This is optional: the first registration creates the store too. But only here can its grace be chosen.
    """
    wanted = None if grace is None else parse_duration(grace, "--grace")
    client = client_for(store, options)
    client.create_store(grace=wanted)
    if as_json:
        emit_document("store", {"uri": client.storage_uri})
    else:
        emit(client.storage_uri)


@app.command(short_help="Store content as the next version of a name.")
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as fraud/features.", autocompletion=names)],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="A file, a folder, or an fsspec URL; several are stored as one artifact, under their names; '-' is "
            "stdin.",
        ),
    ],
    store: StoreOption = None,
    artifact_type: TypeOption = "file",
    meta: MetaOption = None,
    meta_file: MetaFileOption = None,
    if_unchanged: UnchangedOption = "new_version",
    inputs: InputsOption = None,
    idempotency_key: IdempotencyOption = None,
    prove: ProveOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Store content as the next version of NAME, and print NAME@VERSION.

    The version is complete and permanent when this exits with 0; until then no reader sees any part of it.
    """
    metadata = read_metadata(meta_file, meta)
    client = client_for(store, options, source_options)
    with interruptible() as interruption, shown_progress("registering", interruption) as progress:
        artifact = client.register_artifact(
            name,
            source_in(paths, interruption),
            artifact_type,
            metadata,
            inputs=read_inputs(inputs),
            if_unchanged=if_unchanged,
            idempotency_key=idempotency_key,
            prove=prove,
            progress=progress,
        )
    if as_json:
        emit_document("artifact", artifact.to_json())
    else:
        emit(f"{artifact.name}@{artifact.version}")


@app.command(short_help="Download a version to a folder, verified.")
def get(
    reference: ReferenceArgument,
    destination: Annotated[str, typer.Argument(metavar="DEST", help="A folder; created if missing.")] = ".",
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Only the file at this path in the artifact.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    require_signature: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="An ed25519 public key in PEM; one of them must have signed it."),
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Download a version to a folder, verified, and print the path of the file or folder.

    Nothing appears in the folder before everything is fetched and verified.
    """
    keys = [Path(file) for file in require_signature or ()] or None
    artifact = client_for(store, options, source_options).get_artifact(reference, require_signature=keys)
    with interruptible() as interruption, shown_progress("fetching", interruption) as progress:
        found = artifact.download(destination, path=path, overwrite=overwrite, progress=progress)
    if as_json:
        emit_document("download", {"name": artifact.name, "version": artifact.version, "path": str(found)})
    else:
        emit(str(found))


@app.command(short_help="List artifacts, or the versions of one.")
def ls(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="List all versions of this name; or, if it ends in '/', the names that begin so.",
            autocompletion=names,
        ),
    ] = None,
    artifact_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only those of this type.")
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--include-hidden", help="List names too that were hidden from listings.")
    ] = False,
    aliases: Annotated[
        bool, typer.Option("--aliases", help="Show the aliases too: one listing more, and a read for each alias.")
    ] = False,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the latest version of each name, or of each that begins with fraud/, or all versions of one.

    In a pipe: name, version, type, files, bytes, time of creation and creator, separated by tabs; with --aliases also
    the aliases, separated by commas.
    """
    is_prefix = name is not None and name.endswith("/")
    found = client_for(store, options).list_artifacts(
        None if is_prefix else name,
        prefix=name if is_prefix else None,
        artifact_type=artifact_type,
        include_hidden=hidden,
        include_aliases=aliases,
    )
    if as_json:
        emit_document("artifacts", {"artifacts": [listed_document(artifact, aliases=aliases) for artifact in found]})
    else:
        titles = (*LISTED, ALIASES) if aliases else LISTED
        rows = (listed_row(artifact, aliases=aliases) for artifact in found)
        emit_rows(rows, titles if found else (), LEFT_OUT)


@app.command(short_help="Show one version: facts, metadata, schema, notes, files.")
def show(
    reference: ReferenceArgument,
    entries: Annotated[
        str, typer.Option("--entries", metavar="N", help="How many files to list; -1 lists all.")
    ] = "10",
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Show one version: its facts, metadata, schema, notes and first files. Exits with 1 if the notes are damaged."""
    listed = parse_whole(entries, "--entries", -1)
    artifact = client_for(store, options).get_artifact(reference)
    count = None if listed < 0 else listed
    noted, are_sound = notes_shown(artifact)
    protected = protections_shown(artifact)
    if as_json:
        emit_document(
            "artifact",
            {
                **artifact.to_json(entries=count),
                "notes": None if noted is None else noted.to_json(),
                "protections": [protection.to_json() for protection in protected],
            },
        )
    else:
        emit_rows(fact_rows(artifact))
        emit_rows(protection_rows(protected))
        emit_rows(note_rows(noted) if noted is not None else ())
        emit_rows(entry_rows(artifact, count))
        if count is not None and len(artifact.entries) > count and sys.stdout.isatty():
            note(f"{len(artifact.entries) - count:,} more files; --entries -1 lists all")
    return ExitCode.GOOD if are_sound else ExitCode.CHECK_FAILED


@app.command(short_help="Verify that versions are as they were registered.")
def verify(
    references: Annotated[
        list[str] | None, typer.Argument(metavar="NAME[@VERSION]", help="What to check.", autocompletion=references)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every version of every name.")] = False,
    level: LevelOption = "full",
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Verify also the manifests of all versions that they were made from.")
    ] = False,
    resume: ResumeOption = None,
    objects_per_second: ObjectsPerSecondOption = None,
    bytes_per_second: BytesPerSecondOption = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    source_options: SourceOptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Verify that versions are in the store as they were registered. Exits with 1 if one is not.

    Continues after every finding, and names each modified or missing file with its object: in the store, or at the
    place that a pointer leads to.
    """
    if every == bool(references):
        raise typer.BadParameter("give one or more, or --all", param_hint="NAME[@VERSION]...")
    client = client_for(store, options, source_options)
    limits = Limits(resume, objects_per_second, bytes_per_second, lineage)
    return check_all(client, references or (), level, limits, as_json=as_json)


@app.command(short_help="Show all features in a short story.")
def demo(
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="A new or empty folder to play in, which is kept.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Play a short story in a local folder: data, its next version, a model, and a damaged byte that is found.

    Takes a second and needs no network. Without FOLDER or --keep, nothing is left behind.
    """
    from metamlflow.cli.demo import play

    outcome = play(None if folder is None else Path(folder), keep=keep, quiet=as_json)
    if as_json:
        emit_document("demo", outcome)


app.add_typer(alias_app)
app.add_typer(find_app)
app.add_typer(rollback_app)
app.add_typer(correct_app)
app.add_typer(diff_app)
app.add_typer(content_app)
app.add_typer(pointer_app)
app.add_typer(migration_app)
app.add_typer(repair_app)
app.add_typer(prune_app)
app.add_typer(fsck_app)
app.add_typer(du_app)
app.add_typer(collecting_app)
app.add_typer(doctor_app)
app.add_typer(notes_app)
app.add_typer(lineage_app)  # without a name, so that its commands are at the top level
