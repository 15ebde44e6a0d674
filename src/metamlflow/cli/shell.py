"""Answers the completion requests of a shell: which words may follow when the user presses Tab."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import redirect_stdout

from metamlflow.cli.app import app

_BREAKS = frozenset({"@", ":", "="})  # the characters of names and options at which bash ends a word


def answered(arguments: Sequence[str], asked: str) -> int:
    """Answer what a shell ``asked``: for completions, or for its completion script; return the exit code."""
    broken_off = _rejoin(os.environ) if asked == "complete_bash" else ""
    told = io.StringIO()
    with redirect_stdout(told):
        try:
            app(list(arguments), prog_name="metamlflow", standalone_mode=False)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    sys.stdout.write("".join(line.removeprefix(broken_off) for line in told.getvalue().splitlines(keepends=True)))
    sys.stdout.flush()
    return code


def _rejoin(environment: MutableMapping[str, str]) -> str:
    """Rejoin words that bash split at ``@``, ``:`` and ``=``; return the part of the last word that bash keeps.

    Bash replaces only the text after the last of these characters, so completions must not repeat the part before it.
    """
    try:
        words, current = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
    except (KeyError, ValueError):
        return ""
    words += [""] * (current + 1 - len(words))
    joined, apart = words[:1], ""
    for number, word in enumerate(words[1 : current + 1], 1):
        before = words[number - 1] if number > 1 else ""
        if number > 1 and (word in _BREAKS or before in _BREAKS):
            if word != "@" and before != "@":
                apart = joined[-1] + (word if word in _BREAKS else "")
            elif word == "@":
                apart = joined[-1]
            joined[-1] += word
        else:
            apart = ""
            joined.append(word)
    place = len(joined) - 1
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(joined), str(place)
    return apart
