"""Who writes, and with which program: what manifests and notes say of both, for people."""

from __future__ import annotations

import getpass
import os
from functools import cache
from importlib import metadata

_USER_VARIABLE = "METAMLFLOW_USER"


@cache
def writer() -> str:
    """Return the program and its version as it is installed. The constant of the package lies above this floor."""
    try:
        return f"metamlflow {metadata.version('metamlflow')}"
    except metadata.PackageNotFoundError:
        return "metamlflow"


def user_name() -> str:
    """Return who writes: ``METAMLFLOW_USER`` or the login name, or "unknown" where the system cannot tell."""
    try:
        name = os.environ.get(_USER_VARIABLE) or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
    return name.encode(errors="replace").decode()  # an environment may hold bytes that are no text
