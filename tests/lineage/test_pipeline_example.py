"""The example of a pipeline runs as it is, and its picture is the one that its steps make."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient

EXAMPLE = Path(__file__).parents[2] / "examples" / "pipeline.py"
PICTURE = [
    "rides/raw@1",
    "run clean",
    "rides/cleaned@1",
    "run build features",
    "rides/features@1",
    "run train",
    "rides/model@1",
    "run evaluate",
    "rides/metrics@1",
]


def run(*arguments, **environment) -> str:
    command = [sys.executable, "-W", "error", EXAMPLE, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """The folder beside the store after the pipeline ran, and what it printed."""
    folder = tmp_path_factory.mktemp("pipeline")
    return folder, run(folder / "store")


def shown(node) -> str:
    return f"run {node.label}" if node.kind == "run" else node.id


@pytest.mark.full
def test_the_picture_leads_from_the_raw_data_to_the_metrics_by_the_runs_between(pipeline):
    lineage = MetaMLFlowClient(pipeline[0] / "store").lineage("rides/metrics@1")
    names = {node.id: shown(node) for node in lineage}
    drawn = {(names[link.source], names[link.target]) for link in lineage.links}
    # The metrics are measured on features, besides.
    assert drawn == {*pairwise(PICTURE), ("rides/features@1", "run evaluate")}
    assert lineage.complete


@pytest.mark.full
def test_mermaid_has_the_same_picture(pipeline):
    text = (pipeline[0] / "lineage.mmd").read_text()
    nodes = {
        node: f"run {label}" if shape == "([" else label
        for node, shape, label in re.findall(r'^  (n\d+)(\[|\(\[)"(.+)"', text, re.MULTILINE)
    }
    arrows = re.findall(r"^  (n\d+) --> (n\d+)$", text, re.MULTILINE)
    drawn = {(nodes[source], nodes[target]) for source, target in arrows}
    assert drawn == {*pairwise(PICTURE), ("rides/features@1", "run evaluate")}


def test_it_prints_the_lineage_and_writes_the_page(pipeline):
    folder, printed = pipeline
    lineage = MetaMLFlowClient(folder / "store").lineage("rides/metrics@1", "upstream")
    assert str(lineage) in printed
    pages = (folder / "lineage.html").read_text("utf-8"), lineage.to_html()
    data, expected = (json.loads(re.search(r'id="data">(.*)</script>', page)[1]) for page in pages)
    assert data == expected
    assert {path.name for path in folder.iterdir()} == {"store", "lineage.mmd", "lineage.html"}


def test_no_step_says_what_it_was_made_from(pipeline):
    assert "inputs" not in EXAMPLE.read_text()
    client = MetaMLFlowClient(pipeline[0] / "store")
    model = client.get_artifact("rides/model")
    assert [(used.name, used.version) for used in model.inputs] == [("rides/features", 1)]
    ends = [json.loads(path.read_bytes()) for path in (pipeline[0] / "store" / "runs").glob("*/end.json")]
    assert [end["outcome"] for end in ends] == ["finished"] * 4
    (error,) = [end["metrics"]["mean_absolute_error"] for end in ends if "mean_absolute_error" in end["metrics"]]
    assert 0 < error < 1, "it has learned something"


@pytest.mark.full
def test_without_a_folder_it_makes_a_temporary_one(tmp_path):
    printed = run(TMPDIR=str(tmp_path))
    (folder,) = tmp_path.iterdir()
    assert printed.splitlines()[-1] == str(folder / "lineage.html")
    assert (folder / "store" / "metamlflow.json").exists()
