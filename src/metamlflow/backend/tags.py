"""ETags: servers differ in how they spell one, some between a listing and a header (RFC 9110, section 8.8.3)."""

from __future__ import annotations


def entity_tag(tag: str | None) -> str | None:
    """Return an ETag as RFC 9110 spells it, in quotes: servers differ in that, some between a listing and a header."""
    if tag is None:
        return None
    weak, bare = ("W/", tag[2:]) if tag.startswith("W/") else ("", tag)
    return f'{weak}"{bare.strip().strip(chr(34))}"'


def bare_tag(tag: str | None) -> str:
    """Return an ETag without its quotes and without the mark of a weak one; empty if there is none."""
    return (tag or "").removeprefix("W/").strip('"')


def same_tag(one: str | None, other: str | None) -> bool:
    """Whether two ETags, as they were told at different places, are the same."""
    return bare_tag(one) == bare_tag(other)
