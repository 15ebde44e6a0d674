"""What a job says of itself comes back as it said it, and stays JSON where JSON is promised."""

from __future__ import annotations

import json
import math

import pandas as pd
from typer.testing import CliRunner

from metamlflow.cli.app import app

PARAMS = {"best": math.inf, "seed": 2**60 + 1, "$ref": 1, "weights": pd.Series({"a": 0.5})}


def registered(client):
    with client.run("train", params=PARAMS) as run:
        run.log_metrics({"loss": math.nan, "steps": 2**70, "scores": [1, -math.inf]})
        run.note("done")
        client.register_artifact("model", b"w", metadata={"loss": math.nan})
    return run


def check(params, metrics):
    assert params == {"best": math.inf, "seed": 2**60 + 1, "$ref": 1, "weights": {"a": 0.5}}
    assert math.isnan(metrics["loss"])
    assert (metrics["steps"], metrics["scores"]) == (2**70, [1, -math.inf])


def test_a_run_is_read_back_with_the_values_that_its_job_gave(client, raw):
    run = registered(client)
    record = client.get_run(run.id)
    check(record.start.params, record.end.metrics)
    assert record.end.notes == ("done",)
    record.end.metrics["scores"].append(0)
    check(record.start.params, client.get_run(run.id).end.metrics)
    (path,) = raw.root.glob("runs/*/end.json")
    assert json.loads(path.read_text())["metrics"]["loss"] == {"$float": "NaN"}


def test_an_unfinished_run_is_read_back_the_same(client):
    with client.run("train", params=PARAMS) as run:
        run.log_metrics(loss=math.nan)
        assert client.get_run(run.id).start.params["best"] == math.inf
        assert run.params["seed"] == 2**60 + 1
        assert math.isnan(run.metrics["loss"])
        run.metrics["loss"] = 0
        assert math.isnan(run.metrics["loss"])
    assert math.isnan(client.get_run(run.id).end.metrics["loss"])


def strict(text):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_what_is_printed_as_json_is_json(client, store_folder, tmp_path):
    registered(client)
    for command in (["show", "model"], ["ls"], ["lineage", "model"]):
        answer = CliRunner().invoke(app, [*command, "--store", str(store_folder), "--json"])
        assert answer.exit_code == 0, answer.output
        strict(answer.stdout)
    graph = client.lineage("model")
    json.dumps([graph.to_json(), graph.run_facts()], allow_nan=False)


def test_events_are_json(client, store_folder, tmp_path):
    from metamlflow import MetaMLFlowClient

    events = tmp_path / "events.jsonl"
    registered(MetaMLFlowClient(store_folder, openlineage=events))
    lines = events.read_text().splitlines()
    assert lines
    for line in lines:
        strict(line)
