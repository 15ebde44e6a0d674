"""Names of artifacts, and references to their versions."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any, Self

from metamlflow.errors import InvalidNameError
from metamlflow.model.likeness import foreign_character
from metamlflow.redaction import without_secrets

LATEST = "latest"
MAX_NAME_CHARACTERS = 200
MAX_SEGMENT_BYTES = 240
MAX_ALIAS_CHARACTERS = 100
MAX_VERSION = 9_999_999_998

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
# Windows opens these in every folder, whatever follows the first dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\.|$)", re.IGNORECASE | re.ASCII)
_NAME = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_ALIAS = re.compile(_SEGMENT)
_NUMBER = re.compile(r"v?([0-9]+)")
_RULE = (
    "A name is made of segments of letters, digits, '.', '_' and '-', each beginning with a letter or digit and not "
    "ending in '.', joined by '/', at most 200 characters in all."
)


class ArtifactName(str):
    """A well-formed artifact name, such as ``fraud/features``. Case-sensitive; ``parse(str(x)) == x``."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return ``value`` as a name.

        Raises:
            InvalidNameError: it is not a string of the form above, or a segment is too long for a file system.
        """
        if not isinstance(value, str):
            raise InvalidNameError(f"an artifact name is a string, not {type(value).__name__}", hint=_RULE, value=value)
        if problem := name_problem(value):
            raise InvalidNameError(f"{_shown(value)} is no artifact name: {problem}", hint=_RULE, value=value)
        return cls(value)


def name_problem(value: str) -> str | None:
    """Return what is wrong with ``value`` as an artifact name, or None."""
    if len(value) > MAX_NAME_CHARACTERS:
        return f"it has {len(value)} characters"
    if not _NAME.fullmatch(value):
        return _form_problem(value)
    # A key spells an upper-case letter with two characters, and file systems end a segment at 255 bytes.
    for segment in value.split("/"):
        if problem := _windows_problem(segment):
            return f"its segment {_shown(segment)} {problem}"
        length = len(segment) + sum(c.isupper() for c in segment)
        if length > MAX_SEGMENT_BYTES:
            return f"its segment {_shown(segment)} takes {length} bytes in a key (an upper-case letter counts twice)"
    return None


def _form_problem(value: str) -> str:
    """Return what is wrong with the form of a name."""
    if not value:
        return "it is empty"
    if _NAME.fullmatch(value.removesuffix("/")):
        return "it ends in a slash"
    odd = foreign_character(value, "._-/")
    return f"it holds {odd}, which is not allowed" if odd else "it holds a segment or character that is not allowed"


def _windows_problem(segment: str) -> str | None:
    """Return why no folder can be called so on Windows, or None: a store is copied there with any tool."""
    if segment.endswith("."):
        return "ends in a dot, which Windows drops"
    return "is the name of a device on Windows" if _DEVICE.match(segment) else None


def name_to_list(value: object) -> ArtifactName:
    """Return the name whose versions are to be listed. The error for ``fraud/`` tells the other argument."""
    try:
        return ArtifactName.parse(value)
    except InvalidNameError as error:
        if isinstance(value, str) and value.endswith("/") and _NAME.fullmatch(value.removesuffix("/")):
            raise error.with_hint(f"Give prefix={value!r} for the names that begin so. {_RULE}") from None
        raise


def checked_prefix(value: object) -> str:
    """Return the beginning of names as given, or an empty text for None.

    Raises:
        InvalidNameError: no name begins so.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidNameError(f"a prefix of names is a string, not {type(value).__name__}", hint=_RULE, value=value)
    if value and not _NAME.fullmatch(value.removesuffix("/")):
        raise InvalidNameError(f"no artifact name begins with {_shown(value)}", hint=_RULE, value=value)
    return value


def alias_problem(value: str) -> str | None:
    """Return what is wrong with ``value`` as an alias, or None."""
    if not _ALIAS.fullmatch(value) or len(value) > MAX_ALIAS_CHARACTERS:
        odd = foreign_character(value, "._-")
        return "an alias is one segment of letters, digits, '.', '_' and '-', at most 100 characters" + (
            f"; it holds {odd}" if odd else ""
        )
    if value.lower() == LATEST or _NUMBER.fullmatch(value):
        return "'latest', in whatever case, numbers and v with a number name versions already"
    if problem := _windows_problem(value):
        return f"it {problem}"
    return None


@dataclass(frozen=True, slots=True)
class Reference:
    """A name with the version that is meant: a number, ``"latest"`` or an alias. ``str()`` gives ``name@version``."""

    name: ArtifactName
    version: int | str = LATEST

    @classmethod
    def parse(cls, name: object, version: Any = LATEST) -> Self:
        """Read ``("features", 2)``, ``("features", "latest")`` or ``("features@2",)``.

        Raises:
            InvalidNameError: either part is not well formed, or the version is given twice.
        """
        if isinstance(name, str) and "@" in name and "://" not in name:  # of a URL the part before may be a secret
            if version != LATEST:
                raise InvalidNameError(
                    f"{_shown(name)} names a version, and so does version={version!r}", hint="Give it once.", value=name
                )
            name, _, version = name.partition("@")
        return cls(_parse_name(name, version), _parse_version(version))

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def _parse_name(value: object, version: object) -> ArtifactName:
    """Return the name of a reference. The error for ``name:2``, or for an address, tells our form of it."""
    try:
        return ArtifactName.parse(value)
    except InvalidNameError as error:
        if isinstance(value, str) and version == LATEST and (meant := _other_form(value)):
            raise error.with_hint(f"Did you mean {meant!r}? {_RULE}") from None
        raise


def _other_form(value: str) -> str | None:
    """Return the reference that ``name:version`` or ``metamlflow://name@version`` means, or None."""
    text = value.removeprefix("metamlflow://")
    name, _, version = text.partition("@" if text != value else ":")
    if name_problem(name) or (version != LATEST and not _NUMBER.fullmatch(version) and alias_problem(version)):
        return None
    return f"{name}@{version}"


def _parse_version(value: Any) -> int | str:
    if isinstance(value, str):
        if match := _NUMBER.fullmatch(value):
            return _checked_number(int(match[1][:20]), value)
        if value != LATEST and (problem := alias_problem(value)):
            raise InvalidNameError(f"{_shown(value)} is neither a version number nor an alias: {problem}", value=value)
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidNameError(f"a version is a whole number, 'latest' or an alias, not {value!r:.80}", value=value)
    return _checked_number(operator.index(value), value)  # takes numpy integers too, but no floats


def _checked_number(number: int, value: object) -> int:
    if not 1 <= number <= MAX_VERSION:
        raise InvalidNameError(f"versions are numbered from 1; {value!r:.80} is none", value=value)
    return number


def _shown(value: str) -> str:
    value = without_secrets(value)  # before it is cut off: what is left of a URL may not look like one
    return repr(value) if len(value) <= MAX_NAME_CHARACTERS else repr(value[:60]) + "…"
