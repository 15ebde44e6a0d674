"""Finding the backend of a URL's scheme, and the external store of a URI's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from metamlflow.backend.external import Bounded, Bounds, ExternalStore, LakeFactory
from metamlflow.backend.fsspec_external import FsspecExternalStore
from metamlflow.backend.seam import Backend
from metamlflow.errors import InvalidInputError, MissingDependencyError, redact

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "metamlflow.backends"
LAKES = "metamlflow.external"
_OURS = "metamlflow"

BackendFactory = Callable[[str, Mapping[str, Any]], Backend]
"""What an entry point names: takes the store's URL and the user's fsspec options, returns the backend."""


def open_backend(url: str, options: Mapping[str, Any]) -> Backend:
    """Open the backend that is installed for the scheme of ``url``. Touches no network.

    Raises:
        InvalidInputError: no installed package handles the scheme.
        MissingDependencyError: the package that does needs an extra.
    """
    scheme = url.partition("://")[0]
    installed = entry_points_of(GROUP, tuple(sys.path))
    if scheme not in installed:
        known = ", ".join(f"{name}://" for name in sorted(installed)) or "none (is metamlflow itself installed?)"
        raise InvalidInputError(
            f"no backend is installed for {redact(url)!r}",
            hint=f"Installed are: {known}. A backend comes as a package with an entry point in the group {GROUP!r}.",
        )
    try:
        factory = cast("BackendFactory", installed[scheme].load())
    except (ImportError, AttributeError) as error:
        raise not_loaded(f"the backend for {scheme}://", installed[scheme], error) from error
    try:
        return factory(url, options)
    except ModuleNotFoundError as error:
        if isinstance(error, MissingDependencyError):
            raise
        raise not_loaded(f"the backend for {scheme}://", installed[scheme], error) from error


def open_external(root: str, options: Mapping[str, Any], bounds: Bounds | None = None) -> ExternalStore:
    """Open the external store at the root of a URI, within bounds if there are any. Touches no network.

    Raises:
        InvalidInputError: the options are not known, or no file system of fsspec handles the scheme.
        MissingDependencyError: a package is needed for it.
    """
    scheme = root.partition("://")[0]
    point = entry_points_of(LAKES, tuple(sys.path)).get(scheme)
    try:
        factory = FsspecExternalStore if point is None else cast("LakeFactory", point.load())
        external = factory(root, options)
    except ImportError as error:
        if isinstance(error, MissingDependencyError):
            raise
        if point is not None:
            raise not_loaded(f"data at {scheme}://", point, error) from error
        raise MissingDependencyError(
            f"data at {scheme}:// needs a package that is not installed: {error.name or error}",
            hint="Install what the message names.",
        ) from error
    if bounds is not None and isinstance(external, Bounded):
        external.bound(bounds)
    return external


def installed_schemes() -> frozenset[str]:
    """Return the schemes that a store can have, in lower case."""
    return frozenset(entry_points_of(GROUP, tuple(sys.path)))


def not_loaded(what: str, point: EntryPoint, error: ImportError | AttributeError) -> MissingDependencyError:
    """Return the error for a plug-in that cannot be imported; it names an extra only if there is one that brings it.

    Args:
        what: the plug-in serves, for the message.
        point: its entry point.
        error: what its import raised.
    """
    distribution = point.dist
    ours = distribution is not None and distribution.name == _OURS
    extra = point.module.partition(".")[0].removeprefix(f"{_OURS}_")
    if not ours or distribution is None or extra not in (distribution.metadata.get_all("Provides-Extra") or ()):
        extra = ""
    plug_in = f"{distribution.name} {distribution.version}" if distribution else f"the plug-in {point.value!r}"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None or missing == point.module.partition(".")[0]:
        told = redact(f"{type(error).__name__}: {error}")
        return MissingDependencyError(
            f"{what} cannot be loaded from {plug_in}: {told}",
            hint=f"Install another version of {distribution.name}." if distribution else "Ask those who maintain it.",
            extra=extra,
        )
    if extra:
        hint = f"Install it with: pip install '{_OURS}[{extra}]'"
    else:
        hint = f"Install the package that brings the module {missing!r}" + (
            f"; the documentation of {distribution.name} says which." if distribution else "."
        )
    return MissingDependencyError(
        f"{what} needs a package that is not installed: {missing}" + ("" if ours else f" (needed by {plug_in})"),
        hint=hint,
        extra=extra,
    )


@cache
def entry_points_of(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:  # noqa: ARG001
    """Return the entry points of a group, by name. Looked up once: it reads a file of every installed package."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group)}
