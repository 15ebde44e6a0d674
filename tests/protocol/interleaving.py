"""Faults that let something else happen in the middle of a publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metamlflow.testing import Fault


@dataclass(frozen=True, kw_only=True)
class Meanwhile(Fault):
    """Something else happens just before the call that is hit, which is then applied."""

    happens: Callable[[], Any] = field(default=lambda: None)

    def strike(self, apply: Callable[[], Any], where: str, around: Any) -> Any:
        self.happens()
        return apply()
