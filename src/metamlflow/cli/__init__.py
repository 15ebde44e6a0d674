"""The command line: ``metamlflow``. ``docs/cli.md`` is its reference."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command that the process was started with, and exit with its code."""
    try:
        from metamlflow.cli.entry import run
    except KeyboardInterrupt:  # loading takes long enough for an impatient Ctrl-C
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))
