"""Every relative link of every page leads somewhere, to the very heading it names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest
from checkout import ROOT, markdown_files
from markdown_blocks import without_blocks

_INLINE_CODE = re.compile(r"`[^`\n]*`")
_TARGETS = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?[^)]*\)"  # [text](target "title") and images
    r"|^ {0,3}\[[^\]\n]+\]:\s*<?([^\s>]+)"  # [label]: target
    r"|\b(?:src|href)=\"([^\"]+)\"",  # HTML
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def links_of(page: str) -> list[str]:
    """The targets of a page's links that are relative."""
    text = _INLINE_CODE.sub("", without_blocks(page))
    targets = ["".join(groups) for groups in _TARGETS.findall(text)]
    return [target for target in targets if not _ELSEWHERE.match(target)]


def anchors_of(page: str) -> set[str]:
    """The anchors that a page's headings get where Markdown is shown: lower case, hyphens, numbers for repeats."""
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in _HEADING.findall(without_blocks(page)):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def broken_links(path: Path) -> list[str]:
    """The relative links of the page at ``path`` that lead nowhere."""
    broken = []
    for link in links_of(path.read_text("utf-8")):
        target, _, anchor = unquote(link).partition("#")
        destination = path.parent / target if target else path
        if not destination.exists() or (
            anchor and destination.suffix == ".md" and anchor not in anchors_of(destination.read_text("utf-8"))
        ):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def pages_linked_from(page: Path) -> set[Path]:
    """The pages that a page leads to."""
    links = (link.partition("#")[0] for link in links_of(page.read_text("utf-8")))
    return {path for link in links if (path := (page.parent / link).resolve()).suffix == ".md" and path.is_file()}


def test_every_page_of_the_documentation_is_one_or_two_links_from_the_readme() -> None:
    first = pages_linked_from(ROOT / "README.md")
    second = {page for index in first if index.name == "README.md" for page in pages_linked_from(index)}
    assert set((ROOT / "docs").rglob("*.md")) <= first | second


def test_links_that_lead_nowhere_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One `thing`, twice!\n\n## Two\n\n## Two\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](gone.md) ![c](there.md#one-thing-twice 'title') [d](there.md#three) [e](#here)\n"
        "[f](https://example.invalid/x) `[g](code.md)` [h][label] [i](there.md#two-1)\n\n"
        "[label]: lost.md\n\n```text\n[j](block.md)\n```\n"
    )
    assert broken_links(page) == ["gone.md", "there.md#three", "#here", "lost.md"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`(tests/[\w/]+(?:\.py)?)", page.read_text("utf-8")))
    assert {path for path in named if not (ROOT / path).exists()} == set()
