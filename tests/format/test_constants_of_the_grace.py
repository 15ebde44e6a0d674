"""The shares of the grace that SPEC.md lists satisfy the inequalities beside them, and are those of the code."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from metamlflow.store.catalog.store import LOOK_AGAIN_SHARE, Store
from metamlflow.store.migrate.blobs import RELIABLE_AGE
from metamlflow.store.publish.blobs import BlobWriter
from metamlflow.store.retain import erasing
from metamlflow.store.retain.collecting import judging
from metamlflow.store.retain.collecting.series import OPEN, RENEWED, UNCLEAR
from metamlflow.testing import MemoryBackend

SPECIFICATION = (Path(__file__).parents[2] / "docs" / "SPEC.md").read_text("utf-8")
SECTION = SPECIFICATION.partition("## 18. Constants")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")]
SHARES = {row[0]: Fraction(row[1]) for row in ROWS[1:]}
INEQUALITIES = sorted({found for row in ROWS[1:] for found in re.findall(r"[a-z]+(?: \+ [a-z]+)+ ≤ [0-9/]+", row[3])})


def test_every_constant_serves_an_inequality():
    bounds = {"win", "erase", "bury", "before", "keep", "unclear"}
    assert (
        set(SHARES)
        == {"late", "attempts", "age", "trust", "restore", "bring", "repair", "look", "early", "turn"} | bounds
    )
    assert all(any(re.search(rf"\b{name}\b", text) for text in INEQUALITIES) for name in SHARES.keys() - bounds)
    landed = SHARES["age"] + SHARES["attempts"] + SHARES["late"]
    assert all(landed <= SHARES[bound] for bound in ("win", "erase", "bury"))


@pytest.mark.parametrize("inequality", INEQUALITIES)
def test_an_inequality_holds(inequality):
    left, _, right = inequality.partition(" ≤ ")
    assert sum(SHARES[name] for name in left.split(" + ")) <= Fraction(right)


def test_the_code_has_the_same_shares():
    backend = MemoryBackend()
    writer = BlobWriter(Store(backend.url, {}, backend=backend), timedelta(hours=8))
    assert writer._trusted_age == timedelta(hours=8) * SHARES["trust"].numerator / SHARES["trust"].denominator
    assert SHARES["bring"] == RELIABLE_AGE
    assert SHARES["look"] == LOOK_AGAIN_SHARE
    assert (SHARES["turn"], SHARES["unclear"]) == (RENEWED, UNCLEAR)
    assert SHARES["turn"] + SHARES["late"] <= OPEN
    assert SHARES["bury"] == judging.BURY == erasing.BURY
    source = Path(__file__).parents[2] / "src/metamlflow/store"
    for file in ("publish/publish.py", "repair/repair.py"):
        assert re.search(r"total_seconds\(\) \* 3 / 8", (source / file).read_text("utf-8")), file
    assert SHARES["age"] == SHARES["repair"] == Fraction(3, 8)
