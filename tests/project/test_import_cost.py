"""Importing the library is cheap: it loads nothing heavy and takes no time that a user would notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "gcsfs",
    "numpy",
    "obstore",
    "pandas",
    "pyarrow",
    "rich",
    "s3fs",
    "sklearn",
    "ssl",
    "subprocess",
    "typer",
}
STATEMENTS = ["import metamlflow", "from metamlflow import MetaMLFlowClient", "from metamlflow.data import Dataset"]
MOST_SECONDS = 0.2
ATTEMPTS = 12

CHILD = """
import json, sys, time
before = set(sys.modules)
began = time.process_time()  # of this process alone: other programs of a busy machine do not count
{statement}
seconds = time.process_time() - began
print(json.dumps([seconds, sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})]))
"""


def import_in_a_child(statement: str) -> tuple[float, set[str]]:
    """Seconds of CPU taken, and the top-level names of the modules that were loaded."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "METAMLFLOW_"))}
    child = [sys.executable, "-c", CHILD.format(statement=statement)]
    answer = subprocess.run(child, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    seconds, loaded = json.loads(answer.stdout)
    return seconds, set(loaded)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_an_import_loads_nothing_heavy(statement: str) -> None:
    _, loaded = import_in_a_child(statement)
    assert "metamlflow" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("statement", STATEMENTS)
def test_an_import_takes_less_than_a_fifth_of_a_second(statement: str) -> None:
    # The best of several: sharing a core makes some of them slow, a heavy import makes all of them slow.
    fastest = float("inf")
    for _ in range(ATTEMPTS):
        seconds, _ = import_in_a_child(statement)
        fastest = min(fastest, seconds)
        if fastest < MOST_SECONDS:
            return
    pytest.fail(f"{statement} took {fastest:.3f} s at best")
