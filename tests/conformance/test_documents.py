"""Every document of the kit: what the page says of it, what the product decides, and what a second reader does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from decisions import product_takes, refusal
from kit.cases import bytes_of

KIT = Path(__file__).resolve().parents[2] / "docs" / "conformance"
FILES = sorted(path.name for path in (KIT / "documents").glob("*.jsonl"))


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (KIT / name).read_bytes().splitlines()]


@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=pytest.mark.full if file == "limits.jsonl" else ()) for file in FILES]
)
def test_the_kit_the_product_and_the_second_reader_decide_alike(file):
    differing = []
    for line in lines_of(f"documents/{file}"):
        data = bytes_of(line)
        why = refusal(line["key"], data, line.get("shard"))
        taken = product_takes(line["key"], data, line.get("shard"))
        if not line["accept"] == (why is None) == taken:
            differing.append(f"{line['id']}: kit {line['accept']}, reader {why or 'takes it'}, product {taken}")
    assert differing == []


def test_there_are_hundreds_of_documents_of_both_kinds_for_every_record():
    lines = [line for file in FILES for line in lines_of(f"documents/{file}")]
    assert len(lines) > 1_000
    for file in FILES:
        assert {line["accept"] for line in lines_of(f"documents/{file}")} == {True, False}, file
    assert all(("rule" in line) is not line["accept"] for line in lines)


@pytest.mark.parametrize("file", [file for file in FILES if file not in {"limits.jsonl", "json.jsonl"}])
def test_a_parser_that_has_nothing_but_doubles_keeps_every_number_of_a_good_document(file):
    """Also in fields that nobody knows, for no document of these files needs more."""
    for line in lines_of(f"documents/{file}"):
        if not line["accept"]:
            continue
        for text in bytes_of(line).splitlines() if "shard" in line else [bytes_of(line)]:
            assert whole_numbers(json.loads(text)) == whole_numbers(json.loads(text, parse_int=float)), line["id"]


def whole_numbers(value) -> list[str]:
    """The numbers of a document as texts of digits, so that 2⁵³ and 2⁵³+1 are told apart."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for one in inner for number in whole_numbers(one)]
    return [f"{int(value)}"] if isinstance(value, int | float) and value == int(value) else []


def test_that_look_at_numbers_tells_a_number_that_a_double_rounds():
    text = f'{{"x":{2**53 + 1}}}'
    assert whole_numbers(json.loads(text)) != whole_numbers(json.loads(text, parse_int=float))


def test_a_wrong_decision_would_be_seen():
    line = next(line for line in lines_of("documents/marker.jsonl") if line["accept"])
    data = bytes_of(line)
    assert refusal(line["key"], data) is None
    assert product_takes(line["key"], data)
    damaged = data.replace(b'"format":1', b'"format":2')
    assert refusal(line["key"], damaged) == "format is not of its type"
    assert not product_takes(line["key"], damaged)
