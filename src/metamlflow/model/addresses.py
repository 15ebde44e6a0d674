"""Addresses of files: ``metamlflow://fraud/features@2/train/part-0.parquet``, as fsspec opens them."""

from __future__ import annotations

from metamlflow.errors import InvalidNameError, InvalidPathError
from metamlflow.model.names import ArtifactName, Reference, name_problem

SCHEME = "metamlflow"
_CHAIN = "::"


def without_scheme(address: str) -> str:
    """Return an address without its scheme, and without slashes at its ends."""
    return address.removeprefix(f"{SCHEME}://").strip("/")


def versioned(address: str) -> tuple[str, str] | None:
    """Split an address without scheme at its first ``@``: into ``name@version`` and the path inside of the version.

    Returns None if nothing before an ``@`` can be a name. The version need not be well formed.
    """
    name, at, rest = address.partition("@")
    if not at or name_problem(name) is not None:
        return None
    version, _, path = rest.partition("/")
    return f"{name}@{version}", path


def is_name(text: str) -> bool:
    """Whether a text can be the name of an artifact."""
    return name_problem(text) is None


def address_of(name: ArtifactName, version: int, path: str, store_url: str | None) -> str:
    """Return the address of a version, or of a path inside of it; with the store's URL chained if one is given.

    Raises:
        InvalidPathError: the path, or the store's URL, holds ``::``, which separates the parts of a chain.
    """
    address = f"{SCHEME}://{Reference(name, version)}" + (f"/{path}" if path else "")
    for part in (address, store_url or ""):
        if _CHAIN in part:
            raise InvalidPathError(
                f"{part!r} cannot be part of an address: '::' separates the parts of a chain of file systems",
                hint="Open it with artifact.open(), or with a MetaMLFlowFileSystem, which takes paths as they are.",
                problems=(part,),
            )
    return f"{address}{_CHAIN}{store_url}" if store_url else address


def checked_reference(text: str) -> Reference:
    """Return ``name@version`` as a reference.

    Raises:
        InvalidNameError: the version is neither a number, nor ``latest``, nor an alias.
    """
    name, _, version = text.partition("@")
    if not version:
        raise InvalidNameError(f"{text!r} names no version behind its '@'", hint="Leave the '@' out for the latest.")
    return Reference.parse(name, version)
