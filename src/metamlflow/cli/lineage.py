"""The commands for lineage, signatures and history."""

# As in app.py: flags are positional in Python, and entry.py reads `debug`.
# ruff: noqa: ARG001, FBT002

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metamlflow._arguments import blamed_on
from metamlflow._looks import utc_text
from metamlflow.cli.arguments import client_for, file_to_write, parse_whole
from metamlflow.cli.completion import names
from metamlflow.cli.exit_codes import ExitCode
from metamlflow.cli.options import DebugOption, JsonOption, OptionsOption, ReferenceArgument, StoreOption
from metamlflow.cli.output import Row, emit, emit_document, emit_rows, note

lineage_app = typer.Typer()


@lineage_app.command(short_help="Show the inputs of a version and its consumers.")
def lineage(
    reference: ReferenceArgument,
    direction: Annotated[
        Literal["both", "upstream", "downstream"],
        typer.Option(help="upstream: the versions it was made from; downstream: those made from it."),
    ] = "both",
    depth: Annotated[str | None, typer.Option(metavar="N", help="How many steps. [default: all]")] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Write a Mermaid flowchart.")] = False,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write one page that needs no network to this file.")
    ] = None,
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the versions that a version was made from, and those made from it, as a tree."""
    steps = None if depth is None else parse_whole(depth, "--depth", 0)
    page = None if html is None else file_to_write(html, "--html")
    graph = client_for(store, options).lineage(reference, direction, steps)
    if page is not None:
        graph.to_html(page)
        note(f"written to {html}")
    if as_json:
        emit_document("lineage", graph.to_json())
    elif mermaid:
        emit(graph.to_mermaid().rstrip("\n"))
    elif html is None:
        emit(str(graph))


@lineage_app.command(short_help="Sign a version.")
def sign(
    reference: ReferenceArgument,
    key: Annotated[
        str, typer.Option("--key", metavar="FILE", help="An ed25519 private key, in PEM without a password.")
    ],
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Sign a version's manifest, and print the id of the key: the SHA-256 of the raw public key."""
    artifact = client_for(store, options).get_artifact(reference)
    with blamed_on("--key"):
        signature = artifact.sign(Path(key))
    if as_json:
        facts = {"name": artifact.name, "version": artifact.version, "key_id": signature.key_id}
        emit_document("signature", {**facts, "created_at": utc_text(signature.created_at)})
    else:
        emit(signature.key_id)


@lineage_app.command(short_help="Show all versions of a name, and verify their chain.")
def history(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The artifact's name.", autocompletion=names)],
    store: StoreOption = None,
    options: OptionsOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> int:
    """Show all versions of a name, including pruned and erased ones. Exits with 1 if one is missing or was altered.

    In a pipe: version, state (available, pruned or erased), time, creator and manifest digest, separated by tabs.
    """
    found = client_for(store, options).history(name)
    if as_json:
        versions = [
            {
                "version": entry.version,
                "available": entry.available,
                "erased": entry.erased,
                "created_at": entry.created_at and utc_text(entry.created_at),
                "created_by": entry.created_by,
                "manifest_digest": entry.manifest_digest,
            }
            for entry in found.versions
        ]
        problems = [{"message": problem.message, "hint": problem.hint} for problem in found.problems]
        emit_document("history", {"name": found.name, "ok": found.ok, "versions": versions, "problems": problems})
    else:
        rows: list[Row] = [
            (
                entry.version,
                entry.state,
                entry.created_at or "-",
                entry.created_by or "-",
                entry.manifest_digest,
            )
            for entry in found.versions
        ]
        emit_rows(rows, ("VERSION", "STATE", "CREATED", "BY", "MANIFEST"), ("BY", "CREATED", "STATE"))
        for problem in found.problems:
            note(f"failed: {problem.message}")
    return ExitCode.GOOD if found else ExitCode.CHECK_FAILED
