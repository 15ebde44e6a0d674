"""Verify every version of a store each night: one listing for each prefix that is pointed to, no content read.

    15 2 * * *  python nightly_verify.py --store s3://my-bucket/ml --state ~/nightly.state

Cron mails the table that this prints. The exit code is 0 if all is as it was registered, 1 if anything is not, and 2 if
nothing could be said. A night that was cut short is taken up by the next one, from the file that ``--state`` names.
Credentials come from the environment: ``METAMLFLOW_STORAGE_OPTIONS`` for the store, ``METAMLFLOW_SOURCE_OPTIONS`` for
the places that it points to.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from metamlflow import MetaMLFlowClient, MetaMLFlowError


def main(arguments: list[str] | None = None) -> int:
    """Verify the store and print what was found; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--store", help="its URI; default: METAMLFLOW_STORAGE_URI")
    parser.add_argument("--state", type=Path, default=Path("nightly.state"), help="keeps what is done of a night")
    parser.add_argument("--level", choices=("stat", "checksum", "full"), default="stat")
    parser.add_argument("--objects-per-second", type=float, help="ask for no more objects a second")
    given = parser.parse_args(arguments)
    try:
        verification = MetaMLFlowClient(given.store).verify_all(
            level=given.level, resume=given.state, objects_per_second=given.objects_per_second
        )
    except MetaMLFlowError as error:
        print(error, file=sys.stderr)
        return 2
    Console(width=None if sys.stdout.isatty() else 200).print(verification)  # a mail has no width of its own
    counts = ", ".join(f"{count:,} {status}" for status, count in verification.counts.items() if count)
    print(f"\n{counts or 'no files'}")
    return verification.exit_code


if __name__ == "__main__":
    sys.exit(main())
