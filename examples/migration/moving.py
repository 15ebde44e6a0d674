"""What the scripts of this folder share: bring a store elsewhere, prove it, and say what was done."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from metamlflow import MetaMLFlowClient, MetaMLFlowError, compare, migrate


def parser(what: str | None, source: str, destination: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all scripts have."""
    found = argparse.ArgumentParser(description=(what or "").split("\n", maxsplit=1)[0])
    found.add_argument("source", help=f"such as {source}")
    found.add_argument("destination", help=f"such as {destination}")
    found.add_argument("--dry-run", action="store_true", help="only say what would go")
    found.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file")
    return found


def bring(
    given: argparse.Namespace,
    *,
    source_options: dict[str, Any] | None = None,
    destination_options: dict[str, Any] | None = None,
    proof: bool = True,
    **how: Any,
) -> int:
    """Migrate, compare both stores, print a line; return 0 if all is there, 1 if not, 2 if it could not be done."""
    try:
        source = MetaMLFlowClient(given.source, storage_options=source_options)
        destination = MetaMLFlowClient(given.destination, storage_options=destination_options)
        if given.markdown:
            given.markdown.touch()  # a place that cannot be written to is told before anything is done
        report = migrate(source, destination, dry_run=given.dry_run, **how)
        print(report.summary())
        if given.markdown:
            given.markdown.write_text(report.to_markdown(), "utf-8")
        for version in report.versions:
            if version.reason:
                print(f"{version.name}@{version.version}: {version.status}: {version.reason}")
        for problem in report.problems:
            print(problem)
        found = [] if given.dry_run or not proof else compare(source, destination)
        # Where pointed-to data lies is each store's own business.
        missing = [d for d in found if d.here and not d.key.startswith("relocations/")]
    except (MetaMLFlowError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for difference in missing:
        print(f"{difference.key}: {difference.here} at the source, {difference.there or 'nothing'} at the destination")
    return 0 if report and not missing else 1
