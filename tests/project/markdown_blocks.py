"""Reads the fenced code blocks of a Markdown page, and what is written about them just above."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

RUN = ("python", "sh")
"""The languages of blocks that are run."""

SHOWN = ("text", "json", "toml", "yaml", "ini", "csv", "dockerfile", "mermaid")
"""The languages of blocks that are only shown."""

_OPENING = re.compile(r"^ *(`{3,}|~{3,})\s*(\S*).*$")
_NOT_RUN = re.compile(r"\s*not run\b:?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        line: the number of its first line of code, from 1.
        language: the first word after the fence, or an empty string.
        code: its lines, without the indentation that they share.
        not_run: why it is not run; an empty string if a comment says so and gives no reason; None if it is run.
    """

    line: int
    language: str
    code: str
    not_run: str | None

    @property
    def problem(self) -> str | None:
        """What is wrong with how the block is marked, or None."""
        if self.language not in RUN + SHOWN:
            return f"line {self.line}: the language is {self.language!r}, not one of {', '.join(RUN + SHOWN)}"
        if self.not_run is not None and not self.not_run:
            return f"line {self.line}: the block is not run, and no reason is given"
        return None


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page, in order. A fence that is never closed ends with the page, as in CommonMark."""
    lines = page.splitlines()
    return [
        Block(
            line=start + 2,
            language=(_OPENING.match(lines[start]) or [""] * 3)[2],
            code=textwrap.dedent("".join(f"{line}\n" for line in lines[start + 1 : end])),
            not_run=_reason(lines[:start]),
        )
        for start, end in _fences(lines)
    ]


def without_blocks(page: str) -> str:
    """The page with the lines of its fenced blocks made empty."""
    lines = page.splitlines()
    for start, end in _fences(lines):
        lines[start : end + 1] = [""] * len(lines[start : end + 1])
    return "\n".join(lines)


def _fences(lines: list[str]) -> Iterator[tuple[int, int]]:
    """The first and last line of each block, fences included; the last is ``len(lines)`` if the fence never closes."""
    start, fence = None, ""
    for number, line in enumerate(lines):
        if start is None:
            if opening := _OPENING.match(line):
                start, fence = number, opening[1]
        elif line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            yield start, number
            start = None
    if start is not None:
        yield start, len(lines)


def _reason(above: list[str]) -> str | None:
    """The reason in a comment that stands directly above a block; other comments and blank lines may stand between."""
    text = "\n".join(above).rstrip()
    while text.endswith("-->"):
        text, _, comment = text.removesuffix("-->").rpartition("<!--")
        if match := _NOT_RUN.fullmatch(comment):
            return match[1].strip()
        text = text.rstrip()
    return None
