"""Fits the pages to the site: the README is its first page, and links out of ``docs/`` lead to the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()([^)\s#]+)([^)]*\))")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|/|#", re.IGNORECASE)


def on_files(files: Any, config: Any) -> Any:
    """Add the README as the first page."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 (MkDocs names them)
    """Turn links to what is not a page into links to the repository; pages of docs/ are found from the README."""
    folder = "" if page.file.src_uri == "index.md" else posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def resolved(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if _ELSEWHERE.match(target):
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if path == "README.md":
            path = "docs/index.md"
        if path.startswith("docs/") and (path == "docs/index.md" or (ROOT / path).is_file()):
            here = folder or "docs"
            return f"{before}{posixpath.relpath(path, here)}{after}"
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{before}{config.repo_url}/{kind}/main/{path}{after}"

    return _LINK.sub(resolved, markdown)
