"""Finding the backend of a URL's scheme."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from metamlflow.backend.seam import Backend
from metamlflow.errors import InvalidInputError, MissingDependencyError, redact

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "metamlflow.backends"

BackendFactory = Callable[[str, Mapping[str, Any]], Backend]
"""What an entry point names: takes the store's URL and the user's fsspec options, returns the backend."""


def open_backend(url: str, options: Mapping[str, Any]) -> Backend:
    """Open the backend that is installed for the scheme of ``url``. Touches no network.

    Raises:
        InvalidInputError: no installed package handles the scheme.
        MissingDependencyError: the package that does needs an extra.
    """
    scheme = url.partition("://")[0]
    installed = _installed(tuple(sys.path))
    if scheme not in installed:
        known = ", ".join(f"{name}://" for name in sorted(installed)) or "none (is metamlflow itself installed?)"
        raise InvalidInputError(
            f"no backend is installed for {redact(url)!r}",
            hint=f"Installed are: {known}. A backend comes as a package with an entry point in the group {GROUP!r}.",
        )
    try:
        factory = cast("BackendFactory", installed[scheme].load())
    except ImportError as error:
        module = installed[scheme].module
        extra = module.removeprefix("metamlflow_") if module.startswith("metamlflow_") else ""
        raise MissingDependencyError(
            f"the backend for {scheme}:// needs a package that is not installed: {error.name or error}",
            hint=f"Install it with: pip install 'metamlflow[{extra}]'" if extra else "Install what the message names.",
            extra=extra,
        ) from error
    return factory(url, options)


@cache
def _installed(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:  # noqa: ARG001 (a new folder is searched anew)
    """What the packages on the path offer. Looked up once: it reads a file of every installed package."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}
