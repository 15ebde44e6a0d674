"""Keys, names, digests and spellings of the kit, by the product; those that the second reader made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import product
import pytest
from reader import items, json_text, keys, uris

from metamlflow.format import blob_uris, layout
from metamlflow.format.documents import Problems, dump
from metamlflow.format.entries import cut_shards, item_from_json
from metamlflow.format.runs import input_id
from metamlflow.model.manifests import EmptyFolder, Input, content_digest
from metamlflow.model.names import ArtifactName, alias_problem, name_problem
from metamlflow.model.paths import OrderCheck

KIT = Path(__file__).resolve().parents[2] / "docs" / "conformance"


def lines_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (KIT / name).read_bytes().splitlines()]


@pytest.mark.parametrize("line", lines_of("keys.jsonl"), ids=lambda line: line["key"][:80])
def test_a_key_is_of_the_same_record_for_both_and_stops_a_collector_for_both(line):
    assert keys.record_of(line["key"]) == line["is"]
    assert keys.stops_a_collector(line["key"]) == line["collector_stops"]
    assert product.stops_a_collector(line["key"]) == line["collector_stops"]
    if line["is"]["kind"] not in {"signature", "distributions"}:  # the product looks these up, and parses no such key
        assert product.record_of(line["key"]) == line["is"]


def test_the_keys_of_signatures_and_lists_are_spelled_alike():
    found = {line["is"]["kind"]: line for line in lines_of("keys.jsonl")}
    signature, listed = found["signature"]["is"], found["distributions"]["is"]
    name = ArtifactName(signature["name"])
    assert layout.signature_key(name, signature["version"], signature["key_id"]) == found["signature"]["key"]
    assert layout.distributions_key(listed["sha256"]) == found["distributions"]["key"]


@pytest.mark.parametrize("line", lines_of("names.jsonl"), ids=lambda line: next(iter(line.values()))[:40])
def test_a_name_is_one_for_both_and_spelled_alike(line):
    if "file" in line:
        assert layout.extension_of(line["file"]) == keys.extension_of(line["file"]) == line["extension"]
    elif "alias" in line:
        assert (alias_problem(line["alias"]) is None) == keys.is_alias(line["alias"]) == line["good"]
    else:
        assert (name_problem(line["name"]) is None) == keys.is_name(line["name"]) == line["good"]
        if line["good"]:
            assert layout.escape_name(line["name"]) == keys.spelled(line["name"]) == line["spelled"]
            assert layout.unescape_name(line["spelled"]) == keys.unspelled(line["spelled"]) == line["name"]


@pytest.mark.parametrize("line", lines_of("digests.jsonl"), ids=lambda line: line["id"])
def test_a_content_digest_is_over_the_same_lines_for_both(line):
    problems, order = Problems("x"), OrderCheck()
    read = [item_from_json(value, "x", order, problems) for value in line["items"]]
    assert problems.found == []
    assert [f"{item.digest_line()}\n" for item in read] == line["lines"]
    assert content_digest(read) == line["digest"]
    assert items.content_digest(map(items.item, line["items"])) == line["digest"]
    assert line["digest"] == "sha256:" + hashlib.sha256("".join(line["lines"]).encode()).hexdigest()


def test_runs_of_items_are_cut_where_the_kit_says():
    (line,) = lines_of("cuts.jsonl")
    said = line["paths"]
    paths = [said["each"].replace("#", f"{number:0{said['digits']}d}") for number in range(said["to"])]
    runs = list(cut_shards(EmptyFolder(path) for path in paths))
    assert [run[-1].path for run in runs[:-1]] == line["a_run_ends_after"]
    assert sum(map(len, runs)) == len(paths)


@pytest.mark.parametrize("line", lines_of("spellings.jsonl"), ids=lambda line: line["text"][:30])
def test_a_writer_spells_a_document_in_one_way(line):
    assert dump(line["value"]).decode() == line["text"]
    assert json_text.parse(line["text"].encode()) == line["value"]


@pytest.mark.parametrize("line", lines_of("inputs.jsonl"), ids=lambda line: line["id"])
def test_the_id_of_an_input_is_the_same_for_both(line):
    said = line["input"]
    assert input_id(Input(ArtifactName(said["name"]), said["version"], "", said["role"])) == line["id"]
    assert hashlib.sha256(json_text.written_object(said)).hexdigest()[:32] == line["id"]


FILE = "0123456789abcdef" * 4
URIS = [
    *(FILE + rest for rest in ("", ".csv", ".tar.gz", ".a.b.c", f"-{FILE[:32]}", f"-{FILE[:32]}.csv", f"-{FILE[:31]}")),
    *(FILE + rest for rest in ("x", "X", "0", "..csv", ".csv/", ".~1~", ".ninechars", "%2ecsv", "?x=.csv")),
    *(before + FILE + ".csv" for before in ("0", "%2f", "%252f", "%2F", "-", "/", f"{FILE}.")),
    *(FILE.upper() + rest for rest in ("", ".CSV", "%2ECSV")),
    f"%{ord('0'):x}{FILE[1:]}.csv",
    f"{FILE}/{FILE}",
    f"{FILE}%ff%zz%",
    FILE[1:],
    FILE * 3,
]


@pytest.mark.parametrize("rest", URIS)
def test_a_pointer_keeps_the_same_blobs_for_both(rest):
    uri = f"https://example.org/{rest}"
    found = blob_uris.blob_keys_in_uri(uri)
    assert found == uris.blobs_in(uri)
    assert all(layout.sha256_of_blob_key(key) for key in found)
