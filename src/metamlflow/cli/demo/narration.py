"""Output of the story to stdout, in numbered steps."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text
from rich.tree import Tree

from metamlflow.cli.output import console
from metamlflow.cli.tables import terminal_width

WIDTH = 100
INDENT = 3


class Narrator:
    """Writes titles, sentences, code and results, at most 100 columns wide; nothing if ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = console(width=min(terminal_width(), WIDTH) if sys.stdout.isatty() else WIDTH)
        self._console.quiet = quiet
        self._step = 0

    def title(self, text: str) -> None:
        """Begin the story."""
        self._console.rule(Text(text, "bold"), align="left")

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {text}", "bold cyan"))

    def say(self, text: str) -> None:
        """Print a sentence."""
        margin = " " * INDENT
        wrapped = textwrap.fill(
            text, self._console.width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
        )
        self._console.print(Text(wrapped), soft_wrap=True)

    def code(self, *lines: str) -> None:
        """Show one statement as in a Python session."""
        for number, line in enumerate(lines):
            self._lines((line,), "green", "... " if number else ">>> ")

    def result(self, *lines: str) -> None:
        """Show the result of a statement."""
        self._lines(lines, "dim", "    ")

    def commands(self, *lines: str) -> None:
        """Show lines to copy, never broken."""
        self._lines(lines, "green", "")

    def tree(self, folder: Path, labels: Mapping[str, str]) -> None:
        """Show all files below a folder, with a word on those that have a label; long names are shortened."""
        tree = Tree(Text(f"{folder.name}/", "bold"))
        self._grow(tree, folder, "", labels)
        for line in self._console.render_lines(
            tree, self._console.options.update(width=self._console.width - INDENT), pad=False
        ):
            self._console.print(Text.assemble(" " * INDENT, *((part.text, part.style or "") for part in line)))

    def _grow(self, tree: Tree, folder: Path, prefix: str, labels: Mapping[str, str]) -> None:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not any(below.is_file() for below in path.rglob("*")):
                continue  # a place for temporary files
            key = prefix + path.name
            line = Text(_shortened(path.name) + ("/" if path.is_dir() else ""))
            if key in labels:
                line.append(f"  {labels[key]}", "dim")
            branch = tree.add(line)
            if path.is_dir():
                self._grow(branch, path, f"{key}/", labels)

    def _lines(self, lines: tuple[str, ...], style: str, prompt: str) -> None:
        for line in lines:
            self._console.print(Text(" " * INDENT + prompt + line, style), soft_wrap=True)


def _shortened(name: str) -> str:
    stem, dot, extension = name.partition(".")
    return f"{stem[:10]}…{stem[-4:]}{dot}{extension}" if len(stem) > 40 else name  # noqa: PLR2004 (a digest is 64 long)
