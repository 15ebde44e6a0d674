"""A page in real, headless Chromium: the elements that it came to be, and what it complained of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = next(
    (
        found
        for name in ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=4000",
    "--dump-dom",
]


@dataclass(frozen=True)
class Element:
    """An element of a page: its tag, its attributes, and all text inside."""

    tag: str
    attributes: dict[str, str | None]
    text: str
    inside: tuple[str, ...]


class _Elements(HTMLParser):
    VOID = frozenset({"meta", "input", "br", "link", "img", "base", "source", "embed"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Element] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []

    def handle_starttag(self, tag, attrs):
        inside = tuple(place[1].get("id") or place[0] for place in self._open)
        if tag in self.VOID:
            self.found.append(Element(tag, dict(attrs), "", inside))
        else:
            self._open.append((tag, dict(attrs), []))

    def handle_data(self, data):
        for _, _, texts in self._open:
            texts.append(data)

    def handle_endtag(self, tag):
        if not any(place[0] == tag for place in self._open):
            return
        while True:
            opened, attributes, texts = self._open.pop()
            inside = tuple(place[1].get("id") or place[0] for place in self._open)
            self.found.append(Element(opened, attributes, "".join(texts), inside))
            if opened == tag:
                return


def elements_of(page: str) -> list[Element]:
    """The elements of a page as an HTML parser finds them."""
    parser = _Elements()
    parser.feed(page)
    parser.close()
    return parser.found


def opened_in_chromium(page: Path) -> tuple[list[Element], list[str]]:
    """Open a page; return the elements that it came to be, and the lines of its console."""
    with tempfile.TemporaryDirectory(prefix="metamlflow-test-", ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", page.as_uri()],
            env=os.environ | {"HOME": profile},
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
    lines = re.findall(r"^.*CONSOLE.*$", done.stderr, re.MULTILINE)
    return elements_of(done.stdout), lines
