"""Manifests that are damaged or made to do harm: each is refused with one error that names all that is wrong."""

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from stored_documents import INLINE, SHARDED, as_bytes, document, read

from metamlflow.errors import StoreFormatError
from metamlflow.format.documents import MAX_DOCUMENT_BYTES
from metamlflow.format.entries import INLINE_ITEMS, MAX_INLINE_ITEMS
from metamlflow.format.manifests import decode_manifest
from metamlflow.model.names import ArtifactName

HEX = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"


def altered(**fields: Any) -> bytes:
    return as_bytes(document() | fields)


def without(*names: str) -> bytes:
    return as_bytes({name: value for name, value in document().items() if name not in names})


def entry(index: int = 0, **fields: Any) -> bytes:
    value = document()
    value["entries"][index] |= fields
    return as_bytes(value)


def paths(*given: Any) -> bytes:
    """As many files of the same content, at these paths; sums and digest left wrong."""
    value = document()
    value["entries"] = [value["entries"][0] | {"path": path} for path in given]
    return as_bytes(value)


def nested(levels: int) -> bytes:
    """A document whose metadata makes it so many levels deep, itself included."""
    return INLINE.replace(b'{"rows": 1,', b'{"deep": ' + b"[" * (levels - 2) + b"]" * (levels - 2) + b',"rows": 1,')


def text(old: str, new: str) -> bytes:
    """The document with a literal replaced, for what a JSON library would not write."""
    assert old.encode() in INLINE
    return INLINE.replace(old.encode(), new.encode(), 1)


RESERVED = {"stored": {"coding": "zstd"}, "parts": [], "offset": 0, "length": 6, "data": "aGVsbG8K"}

# name: what is stored, and what must be said about it
HOSTILE: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    # no JSON at all
    "empty": (lambda: b"", ("not valid JSON",)),
    "white space": (lambda: b" \n", ("not valid JSON",)),
    "cut in the middle": (lambda: INLINE[:700], ("not valid JSON",)),
    "two documents": (lambda: INLINE + INLINE, ("not valid JSON",)),
    "cut inside a character": (lambda: INLINE[: INLINE.index(b"\xc3\xb6") + 1], ("not valid UTF-8 at byte",)),
    "byte order mark": (lambda: b"\xef\xbb\xbf" + INLINE, ("not valid JSON", "BOM")),
    "UTF-16": (lambda: INLINE.decode().encode("utf-16"), ("not valid UTF-8 at byte 0",)),
    "overlong UTF-8": (lambda: INLINE.replace(b"ada", b"\xc0\xaf"), ("not valid UTF-8",)),
    "NUL bytes": (lambda: b"\0" * 100, ("not valid JSON",)),
    "comment": (lambda: b"// hello\n" + INLINE, ("not valid JSON",)),
    "raw newline in a string": (lambda: text('"ada"', '"a\nda"'), ("not valid JSON",)),
    "more bytes than any document has": (
        lambda: b" " * (MAX_DOCUMENT_BYTES + 1),
        ("it takes 67,108,865 bytes, more than 67,108,864",),
    ),
    # JSON, but no object
    "null": (lambda: b"null", ("expected an object, got null",)),
    "array": (lambda: b"[" + INLINE + b"]", ("expected an object, got [",)),
    "string": (lambda: b'"manifest"', ('expected an object, got "manifest"',)),
    "number": (lambda: b"1", ("expected an object, got 1",)),
    "empty object": (lambda: b"{}", ("format: missing", "name: missing", "expected either entries or shards")),
    # legal JSON that readers disagree about
    "duplicate key": (lambda: text('"version": 3', '"version": 2, "version": 3'), ("duplicate key 'version'",)),
    "duplicate key deep inside": (lambda: text('"rows": 1', '"rows": 1, "rows": 2'), ("duplicate key 'rows'",)),
    "NaN": (lambda: text('"size": 14', '"size": NaN'), ("NaN is no JSON number", "size: expected a whole number")),
    "minus infinity": (lambda: text('"rows": 1', '"rows": -Infinity'), ("-Infinity is no JSON number",)),
    "1e400": (lambda: text('"rows": 1', '"rows": 1e400'), ("1e400, out of range, is no JSON number",)),
    "lone surrogate in a value": (lambda: text('"ada"', '"\\ud800"'), ("created_by: a string with a lone surrogate",)),
    "lone surrogate in a key": (lambda: text('"rows"', '"\\udfff"'), ("metadata: a key: a string with a lone",)),
    "5,000 digits": (lambda: text('"rows": 1', f'"rows": {"9" * 5000}'), ("a number of 5,000 characters",)),
    "a fraction of 5,000 digits": (lambda: text('"rows": 1', f'"rows": 0.{"9" * 5000}'), ("a number of 5,002",)),
    "101 levels": (lambda: nested(101), ("nested deeper than 100",)),
    "995 levels": (lambda: nested(995), ("nested deeper than 100",)),
    "100,000 levels": (lambda: nested(100_000), ("nested deeper than 100",)),
    "100,000 open brackets": (lambda: b"[" * 100_000, ("nested deeper than 100",)),
    "100,000 open objects": (lambda: b'{"a":' * 100_000, ("nested deeper than 100",)),
    "a string of 10 MB": (lambda: altered(created_by="x" * 10_000_000), ("created_by: a string of 10,000,000 bytes",)),
    "10 MB of characters": (lambda: altered(type="ö" * 5_000_000), ("type: a string of 10,000,000 bytes",)),
    "a key of 10 MB": (lambda: altered(metadata={"k" * 10_000_000: 1}), ("metadata: a key: a string of 10,000,000",)),
    # the document as a whole
    "newer format": (lambda: altered(format=2), ("format: newer format 2, this library reads 1",)),
    "older format": (lambda: altered(format=0), ("format: expected 1, got 0",)),
    "format as a string": (lambda: altered(format="1"), ('format: expected a whole number, got "1"',)),
    "format as true": (lambda: altered(format=True), ("format: expected a whole number, got true",)),
    "format as a float": (lambda: altered(format=1.0), ("format: expected a whole number, got 1.0",)),
    "huge format": (lambda: altered(format=10**900), ("format: newer format 1000000000",)),
    "unknown feature": (lambda: altered(requires=["warp"]), ('requires[0]: unknown feature "warp"',)),
    "feature that is no string": (lambda: altered(requires=[None]), ("requires[0]: expected a string, got null",)),
    "requires is an object": (lambda: altered(requires={}), ("requires: expected an array, got {}",)),
    "another name": (
        lambda: altered(name="fraud/features"),
        ('name: expected "Fraud/features", got "fraud/features"',),
    ),
    "no name": (lambda: altered(name="../etc"), ("name: it holds a segment or character that is not allowed",)),
    "another version": (lambda: altered(version=4), ("version: expected 3, got 4",)),
    "version as a string": (lambda: altered(version="3"), ('version: expected a whole number, got "3"',)),
    "version as a float": (lambda: altered(version=3.0), ("version: expected a whole number, got 3.0",)),
    "version 0": (lambda: altered(version=0), ("version: expected a whole number from 1 to 9999999998, got 0",)),
    "record id in upper case": (lambda: altered(record_id="A" * 32), ("record_id: expected 32 lower-case hex digits",)),
    "record id missing": (lambda: without("record_id"), ("record_id: missing",)),
    "artifact id in braces": (lambda: altered(artifact_id="{7a0c3f6e}"), ("artifact_id: expected a UUID",)),
    "type with a space": (lambda: altered(type="data set"), ("type: expected an artifact type",)),
    "kind unheard of": (lambda: altered(kind="link"), ('kind: expected "file" or "folder", got "link"',)),
    "kind file with two": (lambda: altered(kind="file"), ('kind: "file" with 2 files and 1 folders',)),
    "metadata is null": (lambda: altered(metadata=None), ("metadata: expected an object, got null",)),
    "schema is a list": (lambda: altered(schema=[]), ("schema: expected an object, got []",)),
    "previous without its algorithm": (lambda: altered(previous=HEX), ('previous: expected "sha256:<64 hex>"',)),
    "version 3 without previous": (lambda: without("previous"), ("previous: expected a digest in version 3",)),
    "version 3 with previous null": (lambda: altered(previous=None), ("previous: expected a digest in version 3",)),
    "run is a number": (lambda: altered(run=1), ("run: expected a string, got 1",)),
    # times
    "leap second": (lambda: altered(created_at="2026-12-31T23:59:60Z"), ("created_at: expected a time in UTC",)),
    "minute 60": (lambda: altered(created_at="2026-01-31T12:60:00Z"), ("created_at: expected a time in UTC",)),
    "no seconds": (lambda: altered(created_at="2026-01-31T12:00Z"), ("created_at: expected a time in UTC",)),
    "seven digits": (lambda: altered(created_at="2026-01-31T12:00:00.1234567Z"), ("created_at: expected a time in",)),
    "a point alone": (lambda: altered(created_at="2026-01-31T12:00:00.Z"), ("created_at: expected a time in UTC",)),
    "a comma": (lambda: altered(created_at="2026-01-31T12:00:00,5Z"), ("created_at: expected a time in UTC",)),
    "lower-case letters": (lambda: altered(created_at="2026-01-31t12:00:00z"), ("created_at: expected a time in UTC",)),
    "a space for the T": (lambda: altered(created_at="2026-01-31 12:00:00Z"), ("created_at: expected a time in UTC",)),
    "year 10000": (lambda: altered(created_at="10000-01-31T12:00:00Z"), ("created_at: expected a time in UTC",)),
    "no offset but zero": (lambda: altered(created_at="2026-01-31T12:00:00+00:00"), ("created_at: expected a time",)),
    "a week": (lambda: altered(created_at="2026-W05-6T12:00:00Z"), ("created_at: expected a time in UTC",)),
    "month 13": (lambda: altered(created_at="2026-13-01T00:00:00Z"), ("created_at: expected a time in UTC",)),
    "30 February": (lambda: altered(created_at="2026-02-30T00:00:00Z"), ("created_at: expected a time in UTC",)),
    "hour 24": (lambda: altered(created_at="2026-01-31T24:00:00Z"), ("created_at: expected a time in UTC",)),
    "year 0": (lambda: altered(created_at="0000-01-31T00:00:00Z"), ("created_at: expected a time in UTC",)),
    "local time": (lambda: altered(created_at="2026-01-31T12:00:00"), ("created_at: expected a time in UTC",)),
    "offset": (lambda: altered(created_at="2026-01-31T12:00:00+01:00"), ("created_at: expected a time in UTC",)),
    "arabic digits": (lambda: altered(created_at="٢٠٢٦-01-31T12:00:00Z"), ("created_at: expected a time in UTC",)),
    "seconds since 1970": (lambda: altered(created_at=1769860800), ("created_at: expected a time in UTC",)),
    # numbers
    "negative size": (lambda: altered(size=-1), ("size: expected a whole number from 0",)),
    "2**53": (lambda: altered(size=2**53), ("size: expected a whole number from 0 to 9007199254740991",)),
    "an entry of 2**53 bytes": (lambda: entry(size=2**53), ("entries[0].size: expected a whole number from 0",)),
    "2**70": (lambda: altered(size=2**70), ("size: expected a whole number from 0",)),
    "true files": (lambda: altered(files=True), ("files: expected a whole number, got true",)),
    "sizes that do not sum": (lambda: altered(size=15), ("size: expected 14, the sum of the entries, got 15",)),
    "files that do not sum": (lambda: altered(files=7), ("files: expected 3 with the folders, got 7 + 1",)),
    "files and folders swapped": (lambda: altered(files=1, folders=2), ("files: expected 2, got 1",)),
    "digest of something else": (
        lambda: altered(digest=f"sha256:{HEX}"),
        ("digest: expected sha256:00d874873c75ae7b9373979a05dee3c88d1a6fef76caa2c1daa10c640b40d88d",),
    ),
    "digest in upper case": (lambda: altered(digest=f"sha256:{HEX.upper()}"), ('digest: expected "sha256:<64 hex>"',)),
    "digest by another algorithm": (lambda: altered(digest=f"md5:{HEX[:32]}"), ('digest: expected "sha256:<64 hex>"',)),
    # entries
    "entries and shards": (lambda: altered(shards=[]), ("entries: expected either entries or shards, got both",)),
    "neither entries nor shards": (lambda: without("entries"), ("expected either entries or shards, got neither",)),
    "entries is an object": (lambda: altered(entries={"0": {}}), ("entries: expected an array",)),
    "an entry is a string": (lambda: altered(entries=["README"]), ('entries[0]: expected an object, got "README"',)),
    "4,097 entries": (
        lambda: paths(*(f"{i:05}" for i in range(4097))),
        ("entries: 4097 entries inline, more than 4096",),
    ),
    "entry digest too short": (lambda: entry(sha256=HEX[:63]), ("entries[0].sha256: expected 64 lower-case hex",)),
    "entry digest in upper case": (lambda: entry(sha256=HEX.upper()), ("entries[0].sha256: expected 64 lower-case",)),
    "entry digest and newline": (lambda: entry(sha256=HEX + "\n"), ("entries[0].sha256: expected 64 lower-case hex",)),
    "crc32c as a number": (lambda: entry(crc32c=891148478), ("entries[0].crc32c: expected a string",)),
    "crc32c with 0x": (lambda: entry(crc32c="0x353dd8be"), ("entries[0].crc32c: expected 8 lower-case hex digits",)),
    "entry size as a string": (lambda: entry(size="6"), ('entries[0].size: expected a whole number, got "6"',)),
    "executable as 1": (lambda: entry(executable=1), ("entries[0].executable: expected true, got 1",)),
    "executable as false": (lambda: entry(executable=False), ("entries[0].executable: expected true, got false",)),
    "folder as false": (lambda: entry(1, folder=False), ("entries[1].folder: expected true, got false",)),
    "a folder that has a key": (
        lambda: entry(1, key=f"blobs/sha256/58/{HEX}"),
        ("entries[1].key: expected one kind of item, got folder and key",),
    ),
    "folder as a string": (lambda: entry(1, folder="yes"), ('entries[1].folder: expected true, got "yes"',)),
    "blob key of other content": (
        lambda: entry(key=f"blobs/sha256/49/49{HEX[2:]}"),
        (f"entries[0].key: it is the key of other content, 49{HEX[2:]}",),
    ),
    "key in the wrong folder": (lambda: entry(key=f"blobs/sha256/aa/{HEX}"), ("entries[0].key: expected the key of",)),
    "key outside blobs/": (lambda: entry(key="metamlflow.json"), ("entries[0].key: expected the key of a blob",)),
    "key that climbs": (
        lambda: entry(key=f"blobs/../../etc/passwd/{HEX}"),
        ("entries[0].key: expected the key of a blob",),
    ),
    "absolute key": (lambda: entry(key=f"/blobs/sha256/58/{HEX}"), ("entries[0].key: expected the key of a blob",)),
    "key with a URL": (lambda: entry(key=f"s3://b/blobs/sha256/58/{HEX}"), ("entries[0].key: expected the key of",)),
    "key with a long extension": (
        lambda: entry(key=f"blobs/sha256/58/{HEX}.parquet12"),
        ("entries[0].key: expected the key of a blob",),
    ),
    "key with three extensions": (
        lambda: entry(key=f"blobs/sha256/58/{HEX}.a.b.c"),
        ("entries[0].key: expected the key of a blob",),
    ),
    **{
        f"an item with {name}, of a later version": (
            partial(entry, 0, **{name: value}),
            (f"entries[0].{name}: it belongs to an unknown feature",),
        )
        for name, value in RESERVED.items()
    },
    "a folder with parts": (lambda: entry(1, parts=[]), ("entries[1].parts: it belongs to an unknown feature",)),
    # paths
    "path that climbs": (lambda: paths("../../etc/passwd"), ("entries[0].path: it holds a segment '..'",)),
    "path that climbs later": (lambda: paths("a/../../b"), ("entries[0].path: it holds a segment '..'",)),
    "path with a dot": (lambda: paths("./a"), ("entries[0].path: it holds a segment '.'",)),
    "absolute path": (lambda: paths("/etc/passwd"), ("entries[0].path: it is absolute",)),
    "empty path": (lambda: paths(""), ("entries[0].path: it is empty",)),
    "empty segment": (lambda: paths("a//b"), ("entries[0].path: it holds an empty segment",)),
    "trailing slash": (lambda: paths("a/"), ("entries[0].path: it holds an empty segment",)),
    "NUL in a path": (lambda: paths("a\0b"), ("entries[0].path: it holds a control character",)),
    "newline in a path": (lambda: paths("a\nb"), ("entries[0].path: it holds a control character",)),
    "escape sequence in a path": (lambda: paths("\x1b[2J"), ("entries[0].path: it holds a control character",)),
    "C1 control in a path": (lambda: paths("a\x9bb"), ("entries[0].path: it holds a control character",)),
    "path of 4,097 bytes": (lambda: paths("ö" * 2048 + "x"), ("entries[0].path: it takes 4097 bytes, more than 4096",)),
    "path with a lone surrogate": (
        lambda: paths("a\udcff"),
        ("entries[0].path: a string with a lone surrogate", "entries[0].path: it is no valid UTF-8"),
    ),
    "path that is a number": (lambda: paths(7), ("entries[0].path: expected a string, got 7",)),
    "path that is null": (lambda: paths(None), ("entries[0].path: expected a string, got null",)),
    "the same path twice": (lambda: paths("a", "a"), ("entries[1].path: it stands twice, got 'a'",)),
    "paths out of order": (lambda: paths("b", "a"), ("entries[1].path: it is out of order after 'b', got 'a'",)),
    "file inside a file": (lambda: paths("a", "a.txt", "a/b"), ("entries[2].path: it lies inside 'a'",)),
    "file inside an empty folder": (
        lambda: entry(2, path="data/empty/x"),
        ("entries[2].path: it lies inside 'data/empty'",),
    ),
    "empty folder that climbs": (lambda: entry(1, path=".."), ("entries[1].path: it holds a segment '..'",)),
    # inputs
    "input without a digest": (
        lambda: altered(inputs=[{"name": "a", "version": 1}]),
        ("inputs[0].manifest_digest: missing",),
    ),
    "input with a bad name": (
        lambda: altered(inputs=[{"name": "a//b", "version": 1, "manifest_digest": f"sha256:{HEX}"}]),
        ("inputs[0].name: it holds a segment or character that is not allowed",),
    ),
    "input that is null": (lambda: altered(inputs=[None]), ("inputs[0]: expected an object, got null",)),
}


def refusal(data: bytes) -> StoreFormatError:
    started = time.process_time()
    with pytest.raises(StoreFormatError) as caught:
        read(data)
    assert time.process_time() - started < 2
    assert len(str(caught.value)) < 20_000
    return caught.value


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_manifest_is_refused_with_what_is_wrong_and_where(case):
    make, expected = HOSTILE[case]
    problems = "\n".join(refusal(make()).problems)
    for part in expected:
        assert part in problems


def test_one_fault_is_reported_once_and_alone():
    assert refusal(altered(type="data set")).problems == (
        'type: expected an artifact type of at most 100 letters, digits and . _ / -, got "data set"',
    )
    assert refusal(b"null").problems == ("expected an object, got null",)
    assert refusal(without("version")).problems == ("version: missing",)
    assert refusal(nested(101)).problems == ("nested deeper than 100",)


def test_five_faults_are_named_in_one_error():
    value = document() | {"format": "1", "created_at": "yesterday", "size": -1, "digest": "x"}
    value["entries"][2]["path"] = "../x"
    found = refusal(as_bytes(value)).problems
    places = sorted(problem.partition(":")[0] for problem in found)
    assert places == ["created_at", "digest", "entries[2].path", "entries[2].path", "format", "size"]
    assert any("segment '..'" in problem for problem in found)


def test_faults_of_the_text_and_of_the_fields_are_named_together():
    data = text('"rows": 1', '"rows": NaN, "rows": 1e999').replace(b'"kind": "folder"', b'"kind": "x"')
    assert refusal(data).problems == (
        "NaN is no JSON number",
        "1e999, out of range, is no JSON number",
        "duplicate key 'rows'",
        'kind: expected "file" or "folder", got "x"',
    )


def test_of_very_many_problems_twenty_are_shown_and_the_rest_counted():
    problems = refusal(paths(*[""] * 4000)).problems
    assert len(problems) == 21
    assert problems[0] == 'entries[0].path: it is empty, got ""'
    assert problems[20] == "and 3,980 more"


def test_a_newer_document_asks_for_an_update_and_a_damaged_one_does_not():
    assert "newer metamlflow" in refusal(altered(format=2)).hint
    assert "newer metamlflow" in refusal(altered(requires=["warp"])).hint
    assert "newer metamlflow" in refusal(entry(offset=7)).hint
    assert "damaged" in refusal(altered(format=0)).hint


COSTLY = {
    "late duplicate among 100,000 keys": lambda: (
        b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b',"99999":0}'
    ),
    "200,000 objects with duplicates": lambda: b"[" + b",".join([b'{"a":0,"a":0}'] * 200_000) + b"]",
    "long key above many strings": lambda: as_bytes({"k" * 1_000_000: [""] * 200_000}),
    "long keys above one another": lambda: (b'{"%s":' % (b"k" * 500_000)) * 60 + b"[]" + b"}" * 60,
    "paths that each begin with the one before": lambda: paths(*("a" * n for n in range(1, 4097))),
    "one path of many segments": lambda: paths("a", *(f"a/{'b/' * 2000}{n:04}" for n in range(2000))),
    "a million numbers where one is expected": lambda: altered(size=[0] * 1_000_000),
}


@pytest.mark.full
@pytest.mark.parametrize("case", COSTLY)
def test_a_hostile_manifest_cannot_make_reading_slow(case):
    refusal(COSTLY[case]())


def test_a_hundred_levels_are_read():
    assert read(nested(100)).metadata["deep"]


def test_a_backslash_in_a_path_is_as_good_as_any_other_character():
    with pytest.raises(StoreFormatError) as caught:
        read(paths("C:\\data\\x.csv"))
    assert not any("path" in problem for problem in caught.value.problems)


def test_a_reader_takes_more_items_in_a_manifest_than_a_writer_puts_there():
    """Others may write up to 4,096, and what was written before has as many."""
    value = document()
    value["entries"] = [value["entries"][0] | {"path": f"{number:04}"} for number in range(MAX_INLINE_ITEMS)]
    lines = "".join(f'["{number:04}",6,"{HEX}"]\n' for number in range(MAX_INLINE_ITEMS))
    value |= {"files": MAX_INLINE_ITEMS, "folders": 0, "size": 6 * MAX_INLINE_ITEMS}
    value["digest"] = f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert (INLINE_ITEMS, MAX_INLINE_ITEMS) == (512, 4096)
    assert len(read(as_bytes(value)).items) == MAX_INLINE_ITEMS


def test_a_list_of_any_length_may_stand_in_shards():
    manifest = decode_manifest(SHARDED, "key", ArtifactName("big"), 1)
    assert sum(shard.count for shard in manifest.shards) == 3


NULL_IS_NONE = {
    "schema": {"schema": None},
    "run": {"run": None},
    "code": {"code": None},
    "pointers": {"pointers": None},
    "shards": {"shards": None},
}


@pytest.mark.parametrize("field", NULL_IS_NONE)
def test_a_field_that_may_be_missing_may_be_null_and_means_the_same(field):
    assert read(altered(**NULL_IS_NONE[field])) == read(without(field))


@pytest.mark.parametrize("field", ["executable", "folder", "uri"])
def test_the_same_goes_for_the_fields_of_an_item(field):
    value = document()
    del value["entries"][0]["executable"]
    assert read(entry(**{"executable": None, field: None})) == read(as_bytes(value))


@pytest.mark.parametrize("field", sorted(document().keys() - {"schema", "run", "code", "weather"}))
def test_a_field_that_must_be_there_must_not_be_null(field):
    assert any(problem.startswith(field) for problem in refusal(altered(**{field: None})).problems)
    assert any(problem.startswith(field) for problem in refusal(without(field)).problems)


def test_version_1_has_no_previous_one():
    value = document() | {"version": 1}
    assert decode_manifest(as_bytes(value | {"previous": None}), "key", ArtifactName("Fraud/features"), 1)
    with pytest.raises(StoreFormatError) as caught:
        decode_manifest(as_bytes(value), "key", ArtifactName("Fraud/features"), 1)
    assert caught.value.problems == ("previous: expected none in version 1",)


def sharded(old: str, new: str) -> bytes:
    assert old.encode() in SHARDED
    return SHARDED.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (sharded('"first": "README"', '"first": "x"'), 'shards[1].first: out of order after "x", got "data/x.csv"'),
        (sharded('"first": "README"', '"first": "data/x.csv"'), "shards[1].first: out of order"),
        (sharded('"first": "README"', '"first": "/README"'), "shards[0].first: it is absolute"),
        (sharded('"count": 2', '"count": 0'), "shards[0].count: expected a whole number from 1 to 32768, got 0"),
        (sharded('"count": 2', '"count": 32769'), "shards[0].count: expected a whole number from 1 to 32768"),
        (sharded('"count": 2', '"count": 3'), "files: expected 4 with the folders, got 2 + 1"),
        (sharded('"size": 248', '"size": 0'), "shards[0].size: expected a whole number from 1"),
        (sharded('"sha256": "5e', '"sha256": "5f'), "shards[0].key: it is the key of other content"),
        (sharded("blobs/sha256/5e/", "artifacts/5e/"), "shards[0].key: expected the key of a blob"),
        (sharded('"count": 2', '"stored": {}, "count": 2'), "shards[0].stored: it belongs to an unknown feature"),
        (sharded('"shards": [', '"shards": [7, '), "shards[0]: expected an object, got 7"),
        (as_bytes(json.loads(SHARDED) | {"shards": []}), "shards: expected one or more, got none"),
        (sharded('"shards": [', '"entries": [], "shards": ['), "entries: expected either entries or shards, got both"),
    ],
)
def test_a_hostile_list_of_shards_is_refused(data, expected):
    with pytest.raises(StoreFormatError) as caught:
        decode_manifest(data, "key", ArtifactName("big"), 1)
    assert expected in "\n".join(caught.value.problems)
