"""Each rule of SPEC.md has a document in the kit that breaks it. What has to be there is read from the page."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest
from kit.cases import bytes_of
from kit.rules import RULES

KIT = Path(__file__).resolve().parents[2] / "docs" / "conformance"
PAGE = (KIT.parent / "SPEC.md").read_text("utf-8")
SECTIONS = {found[1]: found[2] for found in re.finditer(r"^## ([0-9]+)\. (.*)$", PAGE, re.MULTILINE)}


@cache
def every_line() -> tuple[dict, ...]:
    files = sorted((KIT / "documents").glob("*.jsonl"))
    return tuple(json.loads(line) for file in files for line in file.read_bytes().splitlines())


def keys_of_the_kit() -> list[dict]:
    return [json.loads(line) for line in (KIT / "keys.jsonl").read_bytes().splitlines()]


def table_after(words: str) -> list[list[str]]:
    """The cells of the rows of the first table after some words of the page."""
    lines = PAGE.partition(words)[2].split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def words_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def paragraph(beginning: str) -> str:
    """The paragraph of the page that begins so, in one line."""
    found = re.search(rf"^{re.escape(beginning)}.*?(?=\n\n)", PAGE, re.MULTILINE | re.DOTALL)
    return " ".join(found[0].split())


def test_every_rule_is_listed_with_its_section_and_broken_by_a_document():
    listed = json.loads((KIT / "rules.json").read_bytes())
    assert {rule: (said["section"], said["says"]) for rule, said in listed.items()} == RULES
    assert {rule for rule, said in listed.items() if not said["broken_by"]} == set()
    assert {said["section"] for said in listed.values()} <= SECTIONS.keys()
    refused = {line["id"]: line["rule"] for line in every_line() if not line["accept"]}
    assert {one: rule for rule, said in listed.items() for one in said["broken_by"]} == refused


PLACES = {
    "### Marker": ("marker", ()),
    "### List of features": ("features", ()),
    "### Manifest": ("manifest", ()),
    "### Alias record": ("alias", ()),
    "### List of policies": ("policies", ()),
    "A **policy** has": ("policies", ("policies", 0)),
    "### Record of a collection": ("collection", ()),
    "### Note record": ("note", ()),
    "By that it is an entry:": ("manifest", ("entries", 0)),
    "lies elsewhere:": ("pointing", ("entries", 0)),
    "**Shard.**": ("sharded", ("shards", 0)),
}
LISTED = {
    "state": (
        "pruned",
        tuple(
            one
            for one in words_in(paragraph("`format`, `record_id`, `created_at`, `manifest_digest`"))[:10]
            if not one.startswith('"')
        ),
    ),
    "protection": (
        "protection",
        tuple(words_in(paragraph("`format`, `record_id`, `created_at`, `created_by` (string), and"))[:5]),
    ),
    "end of one": ("over", ("format", "record_id", "created_at", "created_by", "note")),
    "tomb": ("tomb", tuple(words_in(paragraph("The record that a version was erased:"))[:9])),
    "hiding": (
        "hidden",
        tuple(words_in(paragraph('`format`, `record_id`, `created_at`, and `state`: `"hidden"`'))[:4]),
    ),
    "claim": ("claim", tuple(words_in(paragraph("`format`, `record_id`, `created_at`, `version`, `artifact_id`"))[:5])),
    "input": ("manifest", tuple(words_in(paragraph("**Input.**")))),
    "place": ("pointing", ("path", "uri", "kind", "evidence")),
    "start": ("start", tuple(one for one in words_in(paragraph("`start.json`:")) if re.fullmatch("[a-z_]+", one))),
    "used": ("used", ("format", "record_id", "created_at", "input")),
    "end": ("end", tuple(one for one in words_in(paragraph("`end.json`:")) if re.fullmatch("[a-z_]+", one))),
    "signature": (
        "signature",
        tuple(one for one in words_in(paragraph("`format`, `record_id`, `created_at`, `algorithm`"))[:9]),
    ),
    "relocation": ("relocation", ("format", "record_id", "created_at", "old", "new")),
}
WITHIN = {"input": ("inputs", 0), "place": ("pointers", 0)}
ELSEWHERE = {
    "distributions": ("environment",),
    "executable": ("entries", 2),
    "steps": ("series", "loss"),
    "values": ("series", "loss"),
}


def fields_of_the_page() -> list[tuple[str, tuple, str]]:
    """Document, place and field, for every field that the page names."""
    found = []
    for words, (kind, place) in PLACES.items():
        for row in table_after(words):
            found += [(kind, place, field) for field in words_in(row[0])]
    for what, (kind, fields) in LISTED.items():
        found += [(kind, WITHIN.get(what, ()), field) for field in fields if not field.startswith('"')]
    return [(kind, ELSEWHERE.get(field, place), field) for kind, place, field in found]


def test_the_fields_of_the_page_are_found():
    found = fields_of_the_page()
    assert len(found) > 125
    assert ("manifest", (), "previous") in found
    assert ("end", (), "error_type") in found
    assert ("start", (), "environment") in found
    assert ("signature", (), "public_key") in found
    assert {("pruned", (), "manifest_digest"), ("tomb", (), "reason"), ("hidden", (), "state")} <= set(found)
    assert {("note", (), "tags"), ("features", (), "write"), ("features", (), "created_at")} <= set(found)


def value_at(document, place):
    for step in place:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document if isinstance(document, dict) else None


@cache
def good(kind: str) -> dict:
    (line,) = (line for line in every_line() if line["id"] == f"{kind}/good")
    return json.loads(bytes_of(line))


@pytest.mark.parametrize(("kind", "place", "field"), fields_of_the_page())
def test_every_field_of_the_page_has_a_document_in_which_it_is_wrong(kind, place, field):
    """Refused, and the only thing that is not as in the good document but for sums and digests over it."""
    sums = {"size", "files", "folders", "digest"} - {field}
    before = value_at(good(kind), place)
    for line in every_line():
        if line["accept"] or not line["id"].startswith(f"{kind}/") or "recipe" in line:
            continue
        try:
            document = json.loads(bytes_of(line))
        except ValueError:
            continue
        after = value_at(document, place)
        if after is None or not isinstance(document, dict):
            continue
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if changed - (sums if not place else set()) == {field}:
            return
    raise AssertionError(f"no refused document of {kind} changes {field} at {place}")


CLOSED = {
    "kind": (r"\| `kind` \| (.*?) \|", "manifest"),
    "evidence": (r"\| `evidence` \| (.*?) \|", "pointing"),
    "place": (r"\*\*Place\.\*\*.*?`kind` \((.*?)\)", "pointing"),
    "state": (r'and `state`: (`"pruned".*?)\. `manifest_digest`', "pruned restored absent"),
    "visibility": (r'and `state`: (`"hidden".*?)\. A name', "hidden shown"),
    "outcome": (r"`outcome` \((.*?)\)", "end"),
    "phase": (r"\| `phase` \| (.*?) \|", "collection"),
    "algorithm": (r"`algorithm` \((.*?)\)", "signature"),
}


@pytest.mark.parametrize("what", CLOSED)
def test_every_value_of_a_closed_list_is_in_a_good_document(what):
    found, kinds = CLOSED[what]
    listed = re.search(found, PAGE, re.DOTALL)[1]
    values = re.findall(r'`"(\w+)"`', listed)
    assert values
    texts = [line.get("text", "") for line in every_line() if line["accept"] and line["id"].split("/")[0] in kinds]
    assert {value for value in values if not any(f'"{value}"' in text for text in texts)} == set()


def test_every_name_of_a_digest_is_in_a_good_document_and_in_a_damaged_one():
    names = words_in(paragraph("The digests are"))
    plain = names[: names.index("-composite")]
    assert len(plain) == 6
    for name in (*plain, *(f"{one}-composite" for one in plain)):
        for accept in (True, False):
            ids = [line["id"] for line in every_line() if line["accept"] is accept]
            assert any(re.search(rf"held {name}(,|$)", one) for one in ids), (name, accept)


def test_every_reserved_field_is_refused_in_items_and_in_shards():
    for name in words_in(paragraph("`stored`, `parts`"))[:5]:
        ids = RULES[f"reserved.{name}"] and [
            line["id"] for line in every_line() if line.get("rule") == f"reserved.{name}"
        ]
        assert {one.split("/")[0] for one in ids} == {"manifest", "pointing", "sharded", "shard"}, name


def test_every_parameter_of_a_signed_address_is_refused():
    bullet = re.search(r"^\* a signature:.*?(?=\n\n)", PAGE, re.MULTILINE | re.DOTALL)[0]
    names = [name for name in words_in(bullet) if re.fullmatch("[A-Za-z-]{3,}", name)]
    names = [name for name in names if name != "file"]
    assert len(names) == 9
    texts = [line["text"].lower() for line in every_line() if line.get("rule") == "uri.signature"]
    assert {name for name in names if not any(re.search(rf"[?&;]{name.lower()}=", text) for text in texts)} == set()


LIMITS = {
    "a document, a line of a shard": "limit.bytes",
    "values in a document": "limit.values",
    "nesting": "limit.nesting",
    "a string, a key of an object": "limit.text",
    "a number": "limit.number",
    "items in a manifest": "limit.inline",
    "items in a shard": "shard.count",
    "the note of an alias record, a state, a protection or a policy; the reason of a tomb": "limit.note",
    "policies in a list": "limit.policies",
    "the title of a note": "limit.title",
    "the description of a note": "limit.description",
    "tags of a note; the key of one; its value": "limit.tags",
    "series of a run; points of a series": "run.series",
    "names in an array of a list of features": "limit.features",
    "the number of a version or of another record": "type.version",
    "whole numbers where this page asks for one": "type.whole",
}
NOT_OF_A_DOCUMENT = {"relocations in a store", "lists of features in a store", "metadata, on writing"}


def test_every_limit_of_section_6_is_passed_by_a_document():
    rows = {row[0].partition(":")[0] for row in table_after("## 6. Limits")}
    assert rows == LIMITS.keys() | NOT_OF_A_DOCUMENT
    broken = {line.get("rule") for line in every_line()}
    assert set(LIMITS.values()) <= broken


def test_every_key_of_section_3_is_among_the_keys_of_the_kit():
    keys = [line["key"] for line in keys_of_the_kit()]
    for row in table_after("A key whose\nname does not spell back"):
        for key in words_in(row[0]):
            pattern = re.sub(r"<[^>]+>(\[[^\]]*\])?|\[[^\]]*\]", ".+", re.sub(r"\[([^\]]*)\]", "", key))
            pattern = ".+".join(map(re.escape, pattern.split(".+"))) + (".*" if key.endswith("/") else "")
            assert any(re.fullmatch(pattern, one) for one in keys), key


def test_every_harmless_folder_is_one_at_which_a_collector_goes_on():
    listed = re.search(r"Harmless are the marker and all that is below(.*?)\.\n", PAGE, re.DOTALL)[1]
    folders = words_in(listed)
    assert len(folders) == 9
    on = {line["key"].partition("/")[0] + "/" for line in keys_of_the_kit() if not line["collector_stops"]}
    assert set(folders) <= on
