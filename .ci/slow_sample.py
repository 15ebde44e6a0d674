"""A pytest plugin that keeps a few of the collected tests and deselects the others: `-m slow -p slow_sample`."""

from __future__ import annotations

import pytest

SAMPLE = 4


# Last, so that it chooses among what -m has left.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep `SAMPLE` tests, spread evenly over the files and the same ones in every run."""
    keep = {index * len(items) // SAMPLE for index in range(SAMPLE)} if len(items) > SAMPLE else set(range(len(items)))
    config.hook.pytest_deselected(items=[item for index, item in enumerate(items) if index not in keep])
    items[:] = [item for index, item in enumerate(items) if index in keep]
