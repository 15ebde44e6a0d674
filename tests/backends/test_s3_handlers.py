"""botocore drops a handler whose id is taken already, without a word: so each has an id of its own."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

BACKEND = Path(__file__).parents[2] / "backends/metamlflow_s3"


def test_no_two_handlers_of_a_client_have_one_id():
    sources = [path.read_text("utf-8") for path in BACKEND.glob("*.py")]
    ids = Counter(found for source in sources for found in re.findall(r'unique_id="([^"]+)"', source))
    assert len(ids) >= 4
    assert {name: count for name, count in ids.items() if count > 1} == {}
