"""The JSON documents have the shapes that ``docs/cli.md`` gives."""

from __future__ import annotations

import json

import pytest
from cli_process import damage

ARTIFACT = {
    "name": str,
    "version": int,
    "artifact_id": str,
    "artifact_type": str,
    "saved_as": (str, type(None)),
    "created_at": str,
    "created_by": str,
    "files": int,
    "size": int,
    "digest": str,
    "manifest_digest": str,
    "storage_path": str,
    "metadata": dict,
    "schema": (dict, type(None)),
    "pointers": list,
    "inputs": list,
}
ENTRY = {"path": str, "size": int, "sha256": str, "crc32c": str, "key": str, "executable": bool}
REPORT = {"name": str, "version": int, "level": str, "ok": bool, "files": int, "bytes": int}
REPORT |= {"counts": dict, "findings": list}
FINDING = {"path": str, "status": str, "key": str, "expected": str, "actual": str}
UNREADABLE = {"reference": str, "error": str, "message": str, "hint": (str, type(None))}
HEAD = {"format": int, "kind": str}
TEXT_OR_NULL = (str, type(None))
NOTES = {"name": str, "version": (int, type(None)), "number": int, "title": TEXT_OR_NULL, "description": TEXT_OR_NULL}
NOTES |= {"tags": dict, "created_at": TEXT_OR_NULL, "created_by": TEXT_OR_NULL, "writer": TEXT_OR_NULL}


def assert_shape(document: dict, shape: dict) -> None:
    assert set(document) == set(shape)
    assert [name for name, kind in shape.items() if not isinstance(document[name], kind)] == []


@pytest.fixture
def documents(ask):
    """Calls the command line with ``--json`` and reads the one document that it writes."""

    def _documents(*arguments: str, code: int = 0) -> dict:
        answer = ask(*arguments, "--json")
        assert (answer.code, answer.err) == (code, "")
        document = json.loads(answer.out)
        assert document["format"] == 1
        return document

    return _documents


def test_init(work, documents):
    assert documents("init") == {"format": 1, "kind": "store", "uri": f"file://{work}/store"}


def test_register_and_show(work, documents, rides):
    registered = documents("register", "x", "rides.csv", "--meta", 'deep={"a": [1]}')
    assert_shape(registered, HEAD | ARTIFACT)
    shown = documents("show", "x")
    assert shown["kind"] == registered["kind"] == "artifact"
    assert {name: shown[name] for name in registered} == registered
    assert shown["metadata"] == {"deep": {"a": [1]}}
    (entry,) = shown.pop("entries")
    assert_shape(entry, ENTRY)
    assert_shape(shown.pop("notes"), NOTES)
    assert shown.pop("protections") == []
    assert_shape(shown, HEAD | ARTIFACT)


def test_annotate_and_notes(documents, rides):
    for target, version in (("bikes/rides", None), ("bikes/rides@1", 1)):
        before = documents("notes", target)
        assert_shape(before, HEAD | NOTES)
        assert (before["kind"], before["number"], before["version"]) == ("notes", 0, version)
        made = documents("annotate", target, "--title", "a", "--tag", "b=c", "--tag", "d")
        assert_shape(made, HEAD | NOTES)
        assert documents("notes", target) == made
        assert (made["title"], made["description"], made["tags"]) == ("a", None, {"b": "c", "d": ""})
        history = documents("notes", target, "--history")
        assert_shape(history, HEAD | {"notes": list})
        assert history["kind"] == "notes-history"
        assert history["notes"] == [{name: made[name] for name in NOTES}]
    shown = documents("show", "bikes/rides")
    assert shown["notes"] == history["notes"][0]


def test_get(documents, rides):
    assert documents("get", "bikes/rides", "out") == {
        "format": 1,
        "kind": "download",
        "name": "bikes/rides",
        "version": 1,
        "path": "out/rides.csv",
    }


def test_ls(documents, rides):
    listing = documents("ls")
    assert set(listing) == {*HEAD, "artifacts"}
    assert listing["kind"] == "artifacts"
    for artifact in listing["artifacts"]:
        assert_shape(artifact, ARTIFACT)
    assert documents("ls", "--type", "none")["artifacts"] == []


def test_verify(work, documents, rides):
    good = documents("verify", "--all")
    assert_shape(good, HEAD | {"ok": bool, "counts": dict, "reports": list, "errors": list})
    assert (good["kind"], good["ok"], good["errors"]) == ("verification", True, [])
    damage(work / "store")
    bad = documents("verify", "bikes/rides", code=1)
    (report,) = bad["reports"]
    assert_shape(report, REPORT)
    (finding,) = report["findings"]
    assert_shape(finding, FINDING)
    assert not bad["ok"]


def test_verify_of_a_damaged_record(work, documents, rides):
    (record,) = (work / "store/artifacts/bikes/rides/_versions").glob("*.json")
    record.chmod(0o600)
    record.write_text("{", encoding="utf-8")
    document = documents("verify", "bikes/rides", code=1)
    (error,) = document["errors"]
    assert_shape(error, UNREADABLE)
    assert (error["reference"], error["error"]) == ("bikes/rides@latest", "StoreFormatError")


def test_demo(documents):
    document = documents("demo")
    assert_shape(
        document, HEAD | {"folder": str, "kept": bool, "artifacts": list, "r2": dict, "damaged_key": str, "ok": bool}
    )
    assert document["kind"] == "demo"


ERRORS = {
    "not found": (("get", "nope"), 3, "ArtifactNotFoundError"),
    "an unknown option": (("ls", "--nope"), 2, "NoSuchOption"),
    "a missing argument": (("get",), 2, "MissingParameter"),
    "an invalid name": (("get", "no such name"), 2, "InvalidNameError"),
    "an unknown command": (("nope",), 2, "UsageError"),
}


@pytest.mark.parametrize(("arguments", "code", "name"), ERRORS.values(), ids=ERRORS)
def test_errors_are_json_on_stderr_and_stdout_stays_empty(ask, rides, arguments, code, name):
    answer = ask(*arguments, "--json")
    assert (answer.code, answer.out) == (code, "")
    error = json.loads(answer.err)
    assert_shape(error, {"error": str, "message": str, "hint": (str, type(None))})
    assert error["error"] == name


def test_numbers_that_json_lacks_are_valid_json_all_the_same(documents, rides):
    document = documents("register", "x", "rides.csv", "--meta", "loss=NaN")
    assert document["metadata"] == {"loss": {"$float": "NaN"}}
