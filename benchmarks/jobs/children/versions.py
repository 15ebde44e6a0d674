"""Prints the versions of packages as JSON: ``versions.py MODULE,… DISTRIBUTION,…``.

Every module is imported, so a tool that cannot run is known, with the reason, before anything is measured. A
distribution that is not installed is left out.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version


def main() -> None:
    """Import and print."""
    modules, distributions = (argument.split(",") for argument in sys.argv[1:3])
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        sys.exit(str(error))
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    print("\n" + json.dumps(found | {"Python": platform.python_version()}))


if __name__ == "__main__":
    main()
