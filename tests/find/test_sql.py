"""SQL over the catalog sees the tables that it is told of, and nothing else of the machine."""

from __future__ import annotations

import pytest

from metamlflow.errors import InvalidInputError

pytest.importorskip("duckdb")

SECRET = "what only this file holds"
OUTSIDE = [
    "select * from '{secret}'",
    "select * from read_csv('{secret}')",
    "select * from read_text('{secret}')",
    "select * from read_blob('{secret}')",
    "select * from glob('{folder}/*')",
    "select * from read_json_auto('http://127.0.0.1:9/x.json')",
    "select getenv('HOME')",
    "select * from a_variable_of_the_program",
    "copy (select 1) to '{folder}/written.csv'",
    "export database '{folder}/written'",
    "attach '{folder}/written.db' as other",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set lock_configuration = false",
    "create secret s (type s3)",
    "pragma database_list; select * from '{secret}'",
]


@pytest.fixture
def filled(client):
    client.register_artifact("a", b"1", metadata={"accuracy": 0.5})
    client.register_artifact("a", b"22", metadata={"accuracy": 0.75})
    client.register_artifact("b", b"333")
    return client


@pytest.mark.parametrize("query", OUTSIDE)
def test_a_query_reads_and_writes_nothing_outside_of_its_tables(filled, tmp_path, query):
    folder = tmp_path / "outside"
    folder.mkdir()
    secret = folder / "secret.csv"
    secret.write_text(f"column\n{SECRET}\n")
    a_variable_of_the_program = SECRET  # noqa: F841 (DuckDB would find it)
    with pytest.raises(InvalidInputError) as caught:
        filled.sql(query.format(folder=folder, secret=secret))
    assert SECRET not in str(caught.value)
    assert list(folder.iterdir()) == [secret]


def test_rows_are_those_of_every_version(filled):
    found = filled.sql("select name, version, size from versions order by name, version")
    assert found.to_pylist() == [
        {"name": "a", "version": 1, "size": 1},
        {"name": "a", "version": 2, "size": 2},
        {"name": "b", "version": 1, "size": 3},
    ]
    best = filled.sql("select version from versions where (metadata->>'accuracy')::double > 0.6")
    assert best.to_pylist() == [{"version": 2}]
    assert filled.sql("pivot versions on name using count(*)").column_names[-2:] == ["a", "b"]
    assert "metadata" in filled.sql("describe versions")["column_name"].to_pylist()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select 1; select 2", "one statement, and this text holds 2"),
        ("", "one statement, and this text holds 0"),
        ("-- a remark", "one statement, and this text holds 0"),
        ("create table t (x int)", "gives no rows"),
        ("begin transaction", "gives no rows"),
        ("selec 1", "the query failed"),
        ("select * from version", "the query failed"),
        (5, "a query is a text of SQL, not int"),
    ],
)
def test_what_is_no_query_is_refused_with_the_tables_that_there_are(filled, query, told):
    with pytest.raises(InvalidInputError, match=told):
        filled.sql(query)
