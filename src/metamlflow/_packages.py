"""Packages that not every installation has, imported where they are needed."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

from metamlflow.errors import MissingDependencyError


def imported(module: str, extra: str) -> Any:
    """Return a module of a package that an extra of metamlflow installs.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'metamlflow[{extra}]'"
        raise MissingDependencyError(f"{module} cannot be imported: {error}", hint=hint, extra=extra) from error


def package(module: str, distribution: str, least: tuple[int, int] | None = None) -> Any:
    """Return a module of a library that no extra of metamlflow brings.

    Args:
        module: the module's name.
        distribution: the name to install.
        least: the first version that loads files of strangers without running their code.

    Raises:
        MissingDependencyError: it is not installed, or an older version is.
    """
    try:
        found = importlib.import_module(module)
        top = sys.modules[module.partition(".")[0]]
    except ImportError as error:
        raise MissingDependencyError(
            f"{module} cannot be imported: {error}", hint=f"pip install {distribution}"
        ) from error
    given = str(getattr(top, "__version__", ""))
    numbers = tuple(int(part) for part in re.findall(r"[0-9]+", given)[:2])
    if least is not None and numbers < least:
        wanted = ".".join(map(str, least))
        raise MissingDependencyError(
            f"{distribution} {given} may run code of the files that it loads",
            hint=f"pip install '{distribution}>={wanted}'",
        )
    return found
