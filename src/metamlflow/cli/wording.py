"""Errors in terms of the command line: the names of options, and no text of the packages that parse them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# The command's option for each argument of the library. Arguments that are not listed have the same name in both.
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
        "keep_last": "--keep-last",
        "older_than": "--older-than",
        "dry_run=True": "--dry-run",
        "expected=": "--expected",
        "where=": "--where",
        "versions=": "--version",
        "repair=True": "--repair",
    }
)
# Not inside of a name, a path or a quotation: these are the user's own text.
_ARGUMENT = re.compile(rf"(?<![\w'\"/.`=-])({'|'.join(map(re.escape, _OPTIONS))})(?![\w'\"/`])")
# A condition is the user's own text as well, and has a language of its own, in which a field is called artifact_type.
_OF_A_CONDITION = re.compile(r"(?:(?:--)?where|expression): ")
# These arguments are also English words: only at the beginning of a message are they arguments.
_BLAMED = re.compile(r"^(expected|key|remove|resume|version|where|note)s?(?=: )")
_CALL = re.compile(r'`client\.(restore)\("([^"`]*)"\)`')
# The prefix that the validating package puts before a parser's message.
_INTRODUCTION = re.compile(r"\b(?:Value|Assertion) error, ")


def in_the_shell(text: str, names: Mapping[str, str] = _OPTIONS) -> str:
    """Return an error's text with the options of the command in place of the arguments of the library."""
    text = _CALL.sub(r"`metamlflow \1 \2`", _BLAMED.sub(r"--\1", text))
    if is_of_a_condition(text):
        return text
    return _ARGUMENT.sub(lambda found: names.get(found[1], found[1]), text)


def is_of_a_condition(message: str) -> bool:
    """Return whether a message tells what is wrong with a condition: neither it nor its hint speaks of arguments."""
    return _OF_A_CONDITION.match(message) is not None


def plain_usage(text: str) -> str:
    """Return the command line parser's message, without the prefixes of the packages below it."""
    return _INTRODUCTION.sub("", text)
