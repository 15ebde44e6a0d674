"""Errors in the words of a shell: options by the names that were typed, and nothing of the packages that parse them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# What the library calls an argument, and the command an option. What is not here has the same name.
_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "storage_uri": "--store",
        "storage_options": "--option",
        "source_options": "--source-option",
        "artifact_type": "--type",
        "idempotency_key": "--idempotency-key",
        "if_unchanged": "--if-unchanged",
        "objects_per_second": "--objects-per-second",
        "bytes_per_second": "--bytes-per-second",
        "overwrite=True": "--overwrite",
        "path=": "--path",
        "require_signature": "--require-signature",
        "inputs=": "--input",
        "copy_pointers": "--copy-pointers",
        "server_side=True": "--server-side",
        "pointer_policy": "--pointer-policy",
    }
)
# Not inside of a name, a path or a quotation: there it is what somebody wrote.
_ARGUMENT = re.compile(rf"(?<![\w'\"/.`=-])({'|'.join(map(re.escape, _OPTIONS))})(?![\w'\"/`])")
# Arguments that are words of English are such only where a message begins with them.
_BLAMED = re.compile(r"^(expected|resume|version)s?(?=: )")
# How the package that checks values introduces what a parser said.
_INTRODUCTION = re.compile(r"\b(?:Value|Assertion) error, ")


def in_the_shell(text: str, names: Mapping[str, str] = _OPTIONS) -> str:
    """Return an error's text with the options of the command in place of the arguments of the library."""
    text = _BLAMED.sub(r"--\1", text)
    return _ARGUMENT.sub(lambda found: names.get(found[1], found[1]), text)


def plain_usage(text: str) -> str:
    """Return what the parser of a command line says, without what the packages below it put in front."""
    return _INTRODUCTION.sub("", text)
