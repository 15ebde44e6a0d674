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


def missing_tests(text: str, folder: Path = ROOT) -> set[str]:
    """The tests that a text names and that are not there; a path starts from the top, or from the page's folder."""
    missing = set()
    for path, name in re.findall(r"`(tests/[\w/]+(?:\.\w+)?)(?:::(\w+))?", text):
        file = next((top / path for top in (ROOT, folder) if (top / path).exists()), None)
        if file is None or (name and f"def {name}(" not in file.read_text("utf-8")):
            missing.add(f"{path}::{name}" if name else path)
    return missing


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert missing_tests(page.read_text("utf-8"), page.parent) == set()


def test_a_test_that_does_not_exist_is_noticed() -> None:
    here = "tests/project/test_doc_links.py"
    text = f"`tests/gone.py` `{here}` `{here}::test_gone` `{here}::test_a_test_that_does_not_exist_is_noticed`"
    assert missing_tests(text) == {"tests/gone.py", f"{here}::test_gone"}


def paths_that_do_not_exist(text: str) -> set[str]:
    """The paths in backticks that lead nowhere, neither from the top nor from the package."""
    named = set(re.findall(r"`([\w.]+(?:/[\w.]+)*(?:/|\.(?:py|md|toml|json)))`", text))
    return {path for path in named if not any((top / path).exists() for top in (ROOT, ROOT / "src/metamlflow"))}


def test_every_path_of_the_map_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawn = set(re.findall(r"^  (?:store/)?\s*((?:\w+/|\w+\.py)(?:\s+\w+(?:/|\.py))*)", text, re.MULTILINE))
    assert len(drawn) > 10
    names = {name for line in drawn for name in line.split()}
    tops = (ROOT / "src/metamlflow", ROOT / "src/metamlflow/store", ROOT)
    assert {name for name in names if not any((top / name).exists() for top in tops)} == set()
    assert paths_that_do_not_exist(text) - {"metamlflow.json"} == set()


def test_a_path_that_leads_nowhere_is_noticed() -> None:
    assert paths_that_do_not_exist("`store/gone.py` `store/read/` `.ci/run` `client.py` `gone/` `x.y()`") == {
        "store/gone.py",
        "gone/",
    }


def test_every_package_of_the_store_has_its_place_on_the_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    packages = {path.parent.name for path in (ROOT / "src/metamlflow/store").glob("*/__init__.py")}
    assert {name for name in packages if f"{name}/" not in text} == set()
