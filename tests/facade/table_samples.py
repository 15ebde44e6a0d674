"""Tables that tests of datasets register, and looks at what became of them past the client."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1024 * 1024
TEXT = b"x,y\n1,a\n2,b\n"
LINES = b'{"x": 1, "y": "a"}\n{"x": 2, "y": "b"}\n'
ROWS = {"x": [1, 2], "y": ["a", "b"]}


def frame():
    return pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})


def parquet(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def blob_file(dataset):
    """Where the local store keeps the one file of a dataset."""
    (entry,) = dataset.artifact.entries
    return Path(dataset.artifact._store.url.removeprefix("file://")) / entry.key


def fields(dataset):
    return {field["name"]: field["type"] for field in dataset.schema["fields"]}


def run(code, *arguments):
    """Run code in a fresh interpreter; return what it printed."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stderr) == (0, ""), f"it ended with {answer.returncode}: {answer.stderr}"
    return answer.stdout.strip()
