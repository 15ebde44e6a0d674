"""How ``key=value`` is read."""

from __future__ import annotations

import pytest
import typer

from metamlflow.cli.arguments import parse_assignments, read_metadata

READ = {
    "text": ("k=hello", {"k": "hello"}),
    "a number": ("k=3", {"k": 3}),
    "JSON": ('k={"a": [1, null]}', {"k": {"a": [1, None]}}),
    "a quoted number is text": ('k="3"', {"k": "3"}),
    "almost JSON is text": ("k={a: 1}", {"k": "{a: 1}"}),
    "nothing is an empty text": ("k=", {"k": ""}),
    "the first = counts": ("k=a=b", {"k": "a=b"}),
    "a dot stays": ("a.b=1", {"a.b": 1}),
    "JSON nested too deep to be read is text": ("k=" + "[" * 100_000, {"k": "[" * 100_000}),
}


@pytest.mark.parametrize(("pair", "expected"), READ.values(), ids=READ)
def test_a_value_is_json_where_it_parses_and_else_text(pair, expected):
    assert parse_assignments([pair], "--meta") == expected


def test_dots_lead_into_objects_where_they_are_asked_to():
    pairs = ["client.endpoint=http://localhost:1", "client.retries=3", "anon=true"]
    assert parse_assignments(pairs, "--option", nested=True) == {
        "client": {"endpoint": "http://localhost:1", "retries": 3},
        "anon": True,
    }


@pytest.mark.parametrize(
    ("pair", "place", "options"),
    [
        ("https://data.example.com/.headers.X-Key=a.b/c", "https://data.example.com/", {"headers": {"X-Key": "a.b/c"}}),
        ("http://127.0.0.1:8000/v1.2/.timeout=3", "http://127.0.0.1:8000/v1.2/", {"timeout": 3}),
        ("s3://partner.data/.profile=lake", "s3://partner.data/", {"profile": "lake"}),
    ],
)
def test_a_uri_in_front_keeps_its_dots(pair, place, options):
    assert parse_assignments([pair], "--source-option", nested=True) == {place: options}


REFUSED = {
    "no =": ["secret"],
    "no key": ["=secret"],
    "an empty part": ["a..b=secret"],
    "a URI without a key": ["https://host/=secret"],
    "given twice": ["a=secret", "a=secret"],
    "a value and a parent": ["a=1", "a.b=secret"],
    "a parent and a value": ["a.b=1", "a=secret"],
}


@pytest.mark.parametrize("pairs", REFUSED.values(), ids=REFUSED)
def test_a_malformed_assignment_is_refused_without_showing_its_value(pairs):
    with pytest.raises(typer.BadParameter) as caught:
        parse_assignments(pairs, "--option", nested=True)
    assert "secret" not in caught.value.format_message()


@pytest.mark.parametrize("content", [None, b"[1]", b"{", b"\xff"], ids=["missing", "a list", "no JSON", "no UTF-8"])
def test_a_metadata_file_holds_a_json_object(tmp_path, content):
    file = tmp_path / "m.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(typer.BadParameter):
        read_metadata(str(file), None)
