"""A lake whose package is not installed names the extra that brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import sys
from metamlflow.errors import MissingDependencyError

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"s3fs", "gcsfs", "aiohttp"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from metamlflow.backend.registry import open_external
try:
    open_external(sys.argv[1], {})
except MissingDependencyError as error:
    print(error.extra, error.hint)
"""


@pytest.mark.parametrize(("root", "extra"), [("s3://bucket", "s3"), ("gs://bucket", "gcs"), ("https://host", "http")])
def test_the_extra_is_named(root, extra):
    answer = subprocess.run([sys.executable, "-c", CHILD, root], capture_output=True, text=True, check=False)
    assert answer.stdout == f"{extra} Install it with: pip install 'metamlflow[{extra}]'\n", answer.stderr
