"""Notes: title, description and tags of a name or a version, which people may change at any time."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from metamlflow._looks import counted, minute_text, one_line, table_of, utc_text
from metamlflow.errors import InvalidInputError
from metamlflow.redaction import without_secrets

MAX_TITLE_BYTES = 1_000
MAX_DESCRIPTION_BYTES = 100_000
MAX_TAGS = 100
MAX_TAG_BYTES = 250
MAX_TAG_VALUE_BYTES = 5_000
MAX_NOTE_BYTES = 5_000
"""Of the note on a change: of an alias, a state, a protection, a policy; and of the reason of an erasure."""


def title_problem(value: str) -> str | None:
    """Return what is wrong with a title, or None: it is one line, and not empty."""
    return line_problem(value, MAX_TITLE_BYTES)


def description_problem(value: str) -> str | None:
    """Return what is wrong with a description, or None: it is any text that is not empty."""
    return text_problem(value, 1, MAX_DESCRIPTION_BYTES)


def tag_problem(tag: str) -> str | None:
    """Return what is wrong with the name of a tag, or None: it is one line, and not empty."""
    return line_problem(tag, MAX_TAG_BYTES)


def tag_value_problem(value: object) -> str | None:
    """Return what is wrong with the value of a tag, or None: it is any text, and may be empty."""
    if not isinstance(value, str):
        return f"expected a text, not {type(value).__name__}"
    return text_problem(value, 0, MAX_TAG_VALUE_BYTES)


def line_problem(value: str, most: int) -> str | None:
    """Return what is wrong with a text of one line, which is not empty, of at most so many bytes in UTF-8, or None."""
    if problem := text_problem(value, 1, most):
        return problem
    if not value.isprintable() and any(unicodedata.category(character) == "Cc" for character in value):
        return "expected one line without control characters"
    return None


def text_problem(value: str, least: int, most: int) -> str | None:
    """Return what is wrong with a text of so many bytes in UTF-8, or None."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "expected a text that is valid Unicode"
    if least <= size <= most:
        return None
    return f"expected at most {most:,} bytes, not {size:,}" if size else "expected a text that is not empty"


def note_problem(value: str) -> str | None:
    """Return what is wrong with the note on a change, or None. It is a text, as a description is."""
    return text_problem(value, 1, MAX_NOTE_BYTES)


def checked_note(value: object, what: str = "note") -> str | None:
    """Return the note that a caller gives on a change, or None.

    Raises:
        InvalidInputError: it is not a text, empty, or too long.
    """
    if value is None:
        return None
    problem = note_problem(value) if isinstance(value, str) else f"expected a text, not {type(value).__name__}"
    if problem or not isinstance(value, str):
        raise InvalidInputError(f"{what}: {problem}", hint="Leave it out if there is nothing to say.")
    return value


@dataclass(frozen=True, slots=True, repr=False)
class Notes:
    """The notes on a name or on one of its versions, as a record holds them. True in a condition if there are any.

    Attributes:
        name: the artifact's name.
        version: the number of the version; None if these are notes on the name.
        number: the number of the record, counted from 1 with each change; 0 if nothing was ever noted.
        title: one line; None if there is none.
        description: a text of any number of lines, such as Markdown; None if there is none.
        tags: texts by the names of the tags; the value of a plain label is empty.
        created_at: the time of this change in UTC, by the clock of the machine that made it; None if nothing was noted.
        created_by: who made this change; None if nothing was noted.
        writer: the program that wrote the record; None if it did not say so.
    """

    name: str
    version: int | None = None
    number: int = 0
    title: str | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    created_at: datetime | None = None
    created_by: str | None = None
    writer: str | None = None

    def __bool__(self) -> bool:
        return bool(self.title or self.description or self.tags)

    @property
    def reference(self) -> str:
        """Their subject: ``name@3``, or ``name``."""
        return self.name if self.version is None else f"{self.name}@{self.version}"

    def to_json(self) -> dict[str, Any]:
        """Return the notes as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "number": self.number,
            "title": self.title,
            "description": self.description,
            "tags": dict(self.tags),
            "created_at": self.created_at and utc_text(self.created_at),
            "created_by": self.created_by,
            "writer": self.writer,
        }

    def __repr__(self) -> str:
        found = [f"'{one_line(self.title, 30)}'"] if self.title else []
        found += ["described"] if self.description else []
        found += [counted(len(self.tags), "tag")] if self.tags else []
        when = "" if self.created_at is None else f"; {minute_text(self.created_at)}"
        return f"<Notes on {one_line(self.reference)}: {', '.join(found) or 'none'}{when}>"

    def _repr_html_(self) -> str:
        facts: dict[str, Any] = {"title": self.title or "", "description": self.description or ""}
        facts |= {f"tag {tag}": value for tag, value in sorted(self.tags.items())}
        if self.created_at is not None:
            facts["changed"] = f"{minute_text(self.created_at)} by {self.created_by}"
        return table_of(f"Notes on {self.reference}", facts)


@dataclass(frozen=True, slots=True)
class NotesChange:
    """A change of notes. None leaves a field as it is, and an empty text removes it.

    Attributes:
        title: the new title.
        description: the new description.
        tags: new values by tag; None removes the tag. Tags that are not named here stay as they are.
    """

    title: str | None = None
    description: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, title: object, description: object, tags: object) -> NotesChange:
        """Check a change, and copy it.

        Raises:
            InvalidInputError: it changes nothing, or something is invalid; all problems are in the message.
        """
        if title is None and description is None and tags is None:
            raise InvalidInputError("nothing to change", hint="Give a title, a description or tags.")
        problems = [*_problems_of_text("title", title), *_problems_of_text("description", description)]
        # The caller may change its mapping meanwhile.
        copied = dict(tags) if isinstance(tags, Mapping) else {}
        if tags is not None and not isinstance(tags, Mapping):
            problems.append(f"tags: expected a mapping of texts to texts, not {type(tags).__name__}")
        problems += _problems_of_tags(copied)
        if problems:
            raise InvalidInputError(
                "; ".join(problems),
                hint=f"A title is one line of at most {MAX_TITLE_BYTES:,} bytes, a description takes at most "
                f"{MAX_DESCRIPTION_BYTES:,}, a tag {MAX_TAG_BYTES:,} and its value {MAX_TAG_VALUE_BYTES:,}; all are "
                "texts. None removes a tag, an empty text a title or a description.",
            )
        return cls(cast("str | None", title), cast("str | None", description), copied)

    def applied_to(self, notes: Notes) -> Notes:
        """Return notes with this change.

        Raises:
            InvalidInputError: they would have more tags than a record may hold.
        """
        tags = {**notes.tags, **self.tags}
        kept = {tag: value for tag, value in tags.items() if value is not None}
        if len(kept) > MAX_TAGS:
            raise InvalidInputError(
                f"{notes.reference} would have {len(kept)} tags, more than {MAX_TAGS}",
                hint="Remove some, or register what describes the content as metadata.",
            )
        title = notes.title if self.title is None else self.title or None
        description = notes.description if self.description is None else self.description or None
        return replace(notes, title=title, description=description, tags=kept)


_SHOWN = 10


def _problems_of_text(name: str, value: object) -> Iterator[str]:
    if value is None or value == "":
        return
    if not isinstance(value, str):
        yield f"{name}: expected a text, not {type(value).__name__}"
    elif problem := title_problem(value) if name == "title" else description_problem(value):
        yield f"{name}: {problem}"


def _problems_of_tags(tags: Mapping[Any, Any]) -> list[str]:
    found = []
    for tag, value in tags.items():
        if not isinstance(tag, str):
            found.append(f"tags: a tag is a text, not {type(tag).__name__}")
            continue
        problem = tag_problem(tag) or (None if value is None else tag_value_problem(value))
        if problem:
            found.append(f"tag {without_secrets(tag)!a:.80}: {problem}")
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], f"and {len(found) - _SHOWN} more"]
