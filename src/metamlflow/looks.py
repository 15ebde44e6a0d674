"""How things look in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

_LEFT = "style='text-align:left'"


def table_of(title: str, facts: Mapping[str, Any]) -> str:
    """Return facts as an HTML table; whatever they hold is text."""
    rows = "".join(
        f"<tr><th {_LEFT}>{html.escape(str(name))}</th><td {_LEFT}>{html.escape(f'{value!s:.500}')}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption {_LEFT}><b>{html.escape(title)}</b></caption>{rows}</table>"
