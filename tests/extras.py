"""Large packages that few tests need: the extra `test-all` brings them, and without them those tests are skipped."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from types import ModuleType

import pytest

LARGE = frozenset(
    {"distributed", "duckdb", "joblib", "lightgbm", "matplotlib", "networkx", "polars", "skops", "sklearn"}
    | {"xarray", "xgboost", "zarr"}
)

# Read once, since tests run without this project's variables.
_REQUIRED = os.environ.get("CI") == "true" or os.environ.get("METAMLFLOW_TEST_SERVERS") == "required"


def need(*names: str) -> None:
    """Skip the test, or the file, if one of these large packages is missing; in CI it fails there."""
    assert set(names) <= LARGE
    missing = [name for name in names if find_spec(name) is None]
    if missing and not _REQUIRED:
        what = f"needs {', '.join(sorted(missing))}: python -m pip install -e '.[test-all]'"
        pytest.skip(what, allow_module_level=True)


def imported(name: str) -> ModuleType:
    """A large package, for a test that needs it."""
    need(name)
    return importlib.import_module(name)
