"""``search``, ``sql`` and ``runs``: in a pipe one line each, and texts of strangers add none."""

from __future__ import annotations

import json

import pytest

from extras import need
from metamlflow import MetaMLFlowClient

pytest.importorskip("pyarrow")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_STORAGE_URI", str(tmp_path / "found"))
    client = MetaMLFlowClient(tmp_path / "found", stale_metadata="ignore")
    client.register_artifact("features", b"a", "dataset", {"rows": 3})
    for rate in (0.1, 0.2):
        with client.run("train\x1b[31m\n", params={"rate": rate}) as run:
            client.get_artifact("features").read_bytes()
            run.log_metric("loss", rate * 2, step=7)
            client.register_artifact("model", b"%f" % rate, "model", {"accuracy": 1 - rate, "by": "x\x1b[2J\ny"})
    client.set_alias("model", "production", 1)
    return client


def test_a_search_lists_versions_with_their_aliases(ask, store):
    answer = ask("search", "type = 'model' and metadata.accuracy > 0.5 and input = 'features@1'")
    rows = [line.split("\t") for line in answer.out.splitlines()]
    assert [(row[0], row[1], row[2], row[7]) for row in rows] == [
        ("model", "1", "model", "production"),
        ("model", "2", "model", ""),
    ]
    document = json.loads(ask("search", "alias = 'production'", "--json").out)
    assert [found["version"] for found in document["artifacts"]] == [1]
    assert ask("search", "name = 'nobody'").out == ""


def test_a_malformed_expression_is_an_error_of_usage_that_shows_the_place(ask, store):
    answer = ask("search", "accuracy > 0.5")
    assert answer.code == 2
    assert "unknown field 'accuracy'" in answer.err
    assert "^" in answer.err
    assert ", artifact_type, " in answer.err
    assert "--type" not in answer.err


def test_a_query_prints_its_rows(ask, store):
    need("duckdb")
    answer = ask("sql", "select name, version, (metadata->>'accuracy')::double from versions where name = 'model'")
    assert sorted(answer.out.splitlines()) == ["model\t1\t0.9", "model\t2\t0.8"]
    document = json.loads(ask("sql", "select count(*) n, max(started_at) last from runs", "--json").out)
    assert document["columns"] == ["n", "last"]
    assert document["rows"][0]["n"] == 2
    failed = ask("sql", "select * from nobody")
    assert failed.code == 2
    assert "Tables are versions, catalog, runs" in failed.err


def test_runs_are_listed_and_compared(ask, store):
    lines = ask("runs").out.splitlines()
    assert len(lines) == 2
    assert all("\x1b" not in line and "train\\x1b[31m\\n" in line for line in lines)
    ids = [line.partition("\t")[0] for line in lines]
    assert ask("runs", "--where", "metrics.loss < 0.3 and params.rate = 0.1").out.startswith(ids[1])
    assert ask("runs", "nobody").out == ""
    compared = ask("runs", "--compare", *ids).out.splitlines()
    assert "params.rate\t0.2\t0.1" in compared
    assert 'outputs\t["model@2"]\t["model@1"]' in compared
    (run, _) = json.loads(ask("runs", "--json").out)["runs"]
    assert run["series"] == {"loss": [[7, 0.4]]}
    assert ask("runs", "train", "--compare", *ids).code == 2


@pytest.mark.parametrize("expression", ["acuracy > 0.5", ""])
def test_the_hint_of_an_expression_speaks_of_fields_and_not_of_options(ask, store, expression):
    hint = json.loads(ask("search", expression, "--json").err)["hint"]
    assert "artifact_type" in hint
    assert "--type" not in hint


def test_a_query_prints_decimals_times_and_dates_as_plain_texts(ask, store):
    need("duckdb")
    query = "select sum(version), 1.50::decimal(4, 2), date '2026-01-31', 'nan'::double, true from versions"
    assert ask("sql", query).out == "4\t1.50\t2026-01-31\tnan\ttrue\n"
    (row,) = json.loads(ask("sql", query, "--json").out)["rows"]
    assert list(row.values()) == [4, "1.50", "2026-01-31", "nan", True]


COLUMNS = {
    "two of one name": ("1 a, 2 a, 3 b", ["a", "a_2", "b"]),
    "two without one": ("count(*), 2, count(*)", ["count_star()", "2", "count_star()_2"]),
    "a name that such a column would get": ("1 a, 2 a, 3 a_2, 4 a", ["a", "a_3", "a_2", "a_4"]),
    "a name with a number first": ("1 a_2, 2 a, 3 a, 4 a_2", ["a_2", "a", "a_3", "a_2_2"]),
}


@pytest.mark.parametrize("what", COLUMNS)
def test_a_query_prints_each_of_its_columns_whatever_their_names_are(ask, store, what):
    need("duckdb")
    (columns, names), query = COLUMNS[what], "select {} from (select 1 from versions limit 1)"
    values = [str(1 if column.startswith("count") else column.split()[0]) for column in columns.split(", ")]
    assert ask("sql", query.format(columns)).out.rstrip("\n").split("\t") == values
    document = json.loads(ask("sql", query.format(columns), "--json").out)
    assert document["columns"] == names
    assert document["rows"] == [dict(zip(names, map(int, values), strict=True))]
    joined = json.loads(ask("sql", "select * from versions a join versions b using (name, version)", "--json").out)
    assert all(len(row) == len(joined["columns"]) for row in joined["rows"])
    assert {"size", "size_2"} <= set(joined["columns"])
