"""Manifests with pointers: one written by hand from SPEC.md, any that can be made, and such as are made to do harm."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifest_strategies import LATER, NAMES, PATHS, TEXT
from stored_documents import DATA, as_bytes, read

from metamlflow.errors import StoreFormatError
from metamlflow.format.entries import decode_shard, encode_shard
from metamlflow.format.manifests import encode_manifest
from metamlflow.model.manifests import EmptyFolder, Entry, Shard, content_digest
from metamlflow.model.pointers import COMPOSITE, DIGEST_HEX, DIGEST_ORDER, Evidence, Pointed, PointerEntry
from metamlflow.model.uris import uri_problem

GOLDEN = (DATA / "pointer_manifest.json").read_bytes()
HELLO = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
TABLE = "492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470"
LAKE = "s3://lake/größe ?#%20/2026"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

DIGITS = "expected a text of digits"

MODEL, FIRST, SECOND, THIRD, LAST = 2, 3, 4, 5, 6  # the pointers' places among the entries


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_every_field_of_a_handwritten_manifest_is_read():
    manifest = read(GOLDEN)
    assert manifest.requires == ("pointers",)
    assert manifest.pointed == (
        Pointed("", f"{LAKE}/", "prefix"),
        Pointed("model.bin", "file:///data/model.bin", "object", "full"),
        Pointed("x/y", "gs://lake/**/*.csv", "glob", "checksum"),
    )
    model = Evidence(modified_ns=1_700_000_000_123_456_789, computed={"sha256": TABLE, "crc32c": "499d87c5"})
    first = Evidence(etag='"0f343b0931126a20f133d67c2b018a3b-2"', held={"sha256-composite": f"{HELLO}-2"})
    second = Evidence(etag='"x"', held={"md5": "d41d8cd98f00b204e9800998ecf8427e", "crc64nvme": "0123456789abcdef"})
    third = Evidence(etag='"y"', modified_ns=-1)
    version = "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"
    assert manifest.items == (
        Entry("README", 6, HELLO, "353dd8be", f"blobs/sha256/58/{HELLO}"),
        EmptyFolder("empty"),
        PointerEntry("model.bin", 8, "file:///data/model.bin", None, model),
        PointerEntry("part-1.csv", 100, f"{LAKE}/part-1.csv", version, first, extra={"colour": "of a later version"}),
        PointerEntry("part-2.csv", 1000, f"{LAKE}/part-2.csv", None, second),
        PointerEntry("part-3.csv", 46, f"{LAKE}/part-3.csv", None, third),
        PointerEntry("x/y/z.csv", 0, "gs://lake/a/z.csv"),
    )


def test_what_an_entry_says_of_its_content_follows_from_its_evidence():
    _, _, model, first, second, third, last = read(GOLDEN).items
    assert [item.strength for item in (model, first, second, third, last)] == [
        "full",
        "checksum",
        "checksum",
        "stat",
        "stat",
    ]
    assert (model.sha256, model.crc32c) == (TABLE, "499d87c5")
    assert (first.sha256, first.crc32c, second.sha256) == (None, None, None)
    assert model.evidence.digest() == ("sha256", TABLE)
    assert first.evidence.digest() is None  # over the parts, not over the content
    assert second.evidence.digest() == ("md5", "d41d8cd98f00b204e9800998ecf8427e")
    assert third.evidence.digest() is None


def test_the_content_digest_is_the_hash_of_lines_that_anyone_can_write():
    lines = [
        f'["README",6,"{HELLO}"]',
        '["empty"]',
        f'["model.bin",8,"{TABLE}"]',
        f'["part-1.csv",100,"sha256-composite:{HELLO}-2"]',
        '["part-2.csv",1000,"md5:d41d8cd98f00b204e9800998ecf8427e"]',
        f'["part-3.csv",46,null,"{LAKE}/part-3.csv",null,"\\"y\\"","-1"]',
        '["x/y/z.csv",0,null,"gs://lake/a/z.csv",null,null,null]',
    ]
    manifest = read(GOLDEN)
    data = "".join(line + "\n" for line in lines).encode()
    assert manifest.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert manifest.digest == content_digest(manifest.items)


@pytest.mark.parametrize("place", range(len(DIGEST_ORDER)))
def test_of_several_digests_the_first_in_one_order_stands_for_the_content(place):
    of_content = ["sha256", "sha1", "md5", "crc64nvme", "crc32c", "crc32"]  # as SPEC.md has them
    of_parts = [f"{name}-composite" for name in of_content]
    value = {name: "0" * DIGEST_HEX[name.removesuffix("-composite")] for name in of_content + of_parts}
    value |= {name: f"{value[name]}-2" for name in of_parts}
    known = dict(list(value.items())[place:])
    entry = PointerEntry("a", 1, "s3://lake/a", None, Evidence(held=dict(reversed(known.items()))))
    first = (of_content + of_parts)[place]
    shown = value[first] if first == "sha256" else f"{first}:{value[first]}"
    assert entry.digest_line() == f'["a",1,"{shown}"]'


def test_a_computed_digest_goes_before_one_of_its_name_that_is_held():
    evidence = Evidence(held={"md5": "0" * 32}, computed={"md5": "1" * 32})
    assert PointerEntry("a", 1, "s3://lake/a", None, evidence).digest_line() == f'["a",1,"md5:{"1" * 32}"]'


def test_a_digest_line_escapes_what_json_does_not_take_and_nothing_else():
    every = "".join(chr(code) for code in [*range(1, 0x30), 0x5C, 0x7F, 0x80, 0xE9, 0x2028, 0xFEFF, 0x1F389])
    escaped = "\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f" + "".join(
        f"\\u00{code:02x}" for code in range(0x10, 0x20)
    )
    spelled = escaped + " !\\\"#$%&'()*+,-./" + "\\\\" + "\x7f\x80\xe9\u2028\ufeff\U0001f389"
    entry = PointerEntry("a", 1, f"s3://lake/{every}", f"v{every}", Evidence(etag=every, modified_ns=-5))
    assert entry.digest_line() == f'["a",1,null,"s3://lake/{spelled}","v{spelled}","{spelled}","-5"]'
    assert f'"etag":"{spelled}"'.encode() in encode_shard([entry])  # as documents are written


@pytest.mark.parametrize("nanoseconds", [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1])
def test_a_time_survives_a_parser_that_has_nothing_but_doubles(nanoseconds):
    entry = PointerEntry("a", 1, "s3://lake/a", None, Evidence(modified_ns=nanoseconds))
    parsed = json.loads(encode_shard([entry]), parse_int=float)
    assert parsed["modified_ns"] == str(nanoseconds)
    assert entry.digest_line().endswith(f',"{nanoseconds}"]')


def test_it_is_written_as_it_was_with_its_unknown_fields():
    written = encode_manifest(read(GOLDEN))
    assert read(written) == read(GOLDEN)
    document, golden = json.loads(written), json.loads(GOLDEN)
    assert document["entries"] == golden["entries"]
    assert document["pointers"] == golden["pointers"]
    assert f'"uri":"{LAKE}/part-3.csv"'.encode() in written


# --- any --------------------------------------------------------------------------------------------------------------

URIS = st.tuples(st.sampled_from(["s3://lake/", "gs://b/", "file:///", "https://host:8/", "memory://"]), PATHS)
URIS = URIS.map("".join).filter(lambda uri: uri_problem(uri) is None)


def digests(*, composite: bool) -> st.SearchStrategy[dict[str, str]]:
    """Digests of evidence, by name."""
    values = {name: st.text("0123456789abcdef", min_size=n, max_size=n) for name, n in DIGEST_HEX.items()}
    if composite:
        parts = st.integers(1, 10_000)
        values |= {
            name + COMPOSITE: st.builds("{}-{}".format, values[name], parts) for name in ("sha256", "crc32c", "md5")
        }
    return st.fixed_dictionaries({}, optional=values)


EVIDENCE = st.builds(
    Evidence,
    etag=st.none() | TEXT,
    modified_ns=st.none() | st.integers(-(2**63), 2**63 - 1),
    held=digests(composite=True),
    computed=digests(composite=False),
)
ENTRIES = st.builds(
    PointerEntry, PATHS, st.integers(0, 2**50), URIS, st.none() | TEXT, EVIDENCE, LATER.map(lambda extra: extra or None)
)
PLACES = st.builds(
    Pointed,
    st.just("") | PATHS,
    URIS,
    st.sampled_from(["object", "prefix", "glob"]),
    st.sampled_from([None, "stat", "checksum", "full"]),
)


def manifest_of(entry: PointerEntry, places: list[Pointed], name: Any = "Fraud/features"):
    fields = {field: getattr(read(GOLDEN), field) for field in read(GOLDEN).__dataclass_fields__}
    fields |= {"items": (entry,), "files": 1, "folders": 0, "size": entry.size, "digest": content_digest([entry])}
    return type(read(GOLDEN))(**fields | {"pointed": tuple(places)})


@QUICK
@given(ENTRIES, st.lists(PLACES, max_size=3))
def test_a_manifest_is_read_back_as_it_was_written(entry, places):
    manifest = manifest_of(entry, places)
    data = encode_manifest(manifest)
    assert read(data) == manifest
    assert encode_manifest(read(data)) == data


@QUICK
@given(ENTRIES)
def test_a_shard_is_read_back_as_it_was_written(entry):
    data = encode_shard([entry])
    shard = Shard(entry.path, 1, len(data), hashlib.sha256(data).hexdigest(), "key")
    assert decode_shard(data, shard) == (entry,)


@QUICK
@given(ENTRIES, NAMES)
def test_equal_bytes_have_one_digest_wherever_they_lie(entry, name):
    sha256 = {"sha256": TABLE}
    entries = [
        Entry(entry.path, entry.size, TABLE, "499d87c5", f"blobs/sha256/49/{TABLE}"),
        PointerEntry(entry.path, entry.size, entry.uri, entry.version, Evidence(computed=sha256)),
        PointerEntry(entry.path, entry.size, f"s3://other/{name}", None, Evidence("tag", 7, held=sha256)),
    ]
    assert len({content_digest([item]) for item in entries}) == 1


# --- hostile ----------------------------------------------------------------------------------------------------------


def altered(**fields: Any) -> bytes:
    return as_bytes(json.loads(GOLDEN) | fields)


def entry(index: int, **fields: Any) -> bytes:
    value = json.loads(GOLDEN)
    value["entries"][index] |= fields
    return as_bytes(value)


def entry_without(index: int, *names: str) -> bytes:
    value = json.loads(GOLDEN)
    for name in names:
        del value["entries"][index][name]
    return as_bytes(value)


def place(**fields: Any) -> bytes:
    value = json.loads(GOLDEN)
    value["pointers"][1] |= fields
    return as_bytes(value)


# name: what is stored, and what must be said about it
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "stat called full": (lambda: entry(THIRD, evidence="full"), "entries[5].evidence: expected 'stat', which is what"),
    "stat called checksum": (lambda: entry(LAST, evidence="checksum"), "entries[6].evidence: expected 'stat'"),
    "checksum called full": (lambda: entry(FIRST, evidence="full"), "entries[3].evidence: expected 'checksum'"),
    "full called stat": (lambda: entry(MODEL, evidence="stat"), "entries[2].evidence: expected 'full'"),
    "evidence unheard of": (
        lambda: entry(LAST, evidence="trust me"),
        "entries[6].evidence: expected one of stat, checksum, full",
    ),
    "no evidence": (lambda: entry_without(LAST, "evidence"), "entries[6].evidence: missing"),
    "evidence is a list": (lambda: entry(LAST, evidence=["stat"]), "entries[6].evidence: expected a string"),
    "unknown digest": (lambda: entry(SECOND, held={"md4": "0" * 32}), "entries[4].held.md4: unknown digest"),
    "unknown composite": (
        lambda: entry(SECOND, held={"md4-composite": f"{'0' * 32}-2"}),
        "entries[4].held.md4-composite: unknown digest",
    ),
    "digest too short": (
        lambda: entry(MODEL, computed={"sha256": TABLE[:63]}),
        "entries[2].computed.sha256: expected 64 lower-case hex digits",
    ),
    "digest in upper case": (
        lambda: entry(MODEL, computed={"sha256": TABLE.upper()}),
        "entries[2].computed.sha256: expected 64 lower-case hex digits",
    ),
    "digest and newline": (
        lambda: entry(SECOND, held={"md5": "0" * 32 + "\n"}),
        "entries[4].held.md5: expected 32 lower-case hex digits",
    ),
    "digest as a number": (
        lambda: entry(SECOND, held={"crc32": 12345678}),
        "entries[4].held.crc32: expected a string",
    ),
    "digest is null": (lambda: entry(SECOND, held={"md5": None}), "entries[4].held.md5: expected a string"),
    "crc64nvme of 8 digits": (
        lambda: entry(SECOND, held={"crc64nvme": "01234567"}),
        "entries[4].held.crc64nvme: expected 16 lower-case hex digits",
    ),
    "composite without parts": (
        lambda: entry(FIRST, held={"sha256-composite": HELLO}),
        "entries[3].held.sha256-composite: expected 64 lower-case hex digits, '-' and a number",
    ),
    "composite of 0 parts": (
        lambda: entry(FIRST, held={"sha256-composite": f"{HELLO}-0"}),
        "entries[3].held.sha256-composite: expected 64",
    ),
    "parts of no composite": (
        lambda: entry(FIRST, held={"sha256": f"{HELLO}-2"}),
        "entries[3].held.sha256: expected 64 lower-case hex digits",
    ),
    "digests are a list": (lambda: entry(FIRST, held=[HELLO]), "entries[3].held: expected an object"),
    "time as a float": (lambda: entry(THIRD, modified_ns=1.5), "entries[5].modified_ns: expected a string"),
    "time as a number": (
        lambda: entry(THIRD, modified_ns=1),
        "entries[5].modified_ns: expected a text of digits, got the number 1, as a metamlflow from before format 1",
    ),
    "time as true": (lambda: entry(THIRD, modified_ns=True), "entries[5].modified_ns: expected a string"),
    "time of 2**63": (lambda: entry(THIRD, modified_ns=str(2**63)), f"entries[5].modified_ns: {DIGITS}"),
    "time of -2**63 - 1": (lambda: entry(THIRD, modified_ns=str(-(2**63) - 1)), f"entries[5].modified_ns: {DIGITS}"),
    "time of 5,000 digits": (lambda: entry(THIRD, modified_ns="9" * 5000), f"entries[5].modified_ns: {DIGITS}"),
    "time with a zero before it": (lambda: entry(THIRD, modified_ns="01"), f"entries[5].modified_ns: {DIGITS}"),
    "time of minus zero": (lambda: entry(THIRD, modified_ns="-0"), f"entries[5].modified_ns: {DIGITS}"),
    "time with a plus": (lambda: entry(THIRD, modified_ns="+1"), f"entries[5].modified_ns: {DIGITS}"),
    "time of no digits": (lambda: entry(THIRD, modified_ns=""), f"entries[5].modified_ns: {DIGITS}"),
    "time in other digits": (lambda: entry(THIRD, modified_ns="\u0661"), f"entries[5].modified_ns: {DIGITS}"),
    "etag as a number": (lambda: entry(THIRD, etag=7), "entries[5].etag: expected a string"),
    "version as a number": (lambda: entry(FIRST, version=7), "entries[3].version: expected a string"),
    "version null, as a text": (
        lambda: entry(FIRST, version="null"),
        "entries[3].version: expected no version where S3",
    ),
    "a pointer that has a key": (
        lambda: entry(LAST, key=f"blobs/sha256/58/{HELLO}"),
        "entries[6].key: expected one kind of item, got uri and key",
    ),
    "a pointer that is a folder": (
        lambda: entry(LAST, folder=True),
        "entries[6].uri: expected one kind of item, got folder and uri",
    ),
    "negative size": (lambda: entry(LAST, size=-1), "entries[6].size: expected a whole number from 0"),
    "no size": (lambda: entry_without(LAST, "size"), "entries[6].size: missing"),
    "path that climbs": (lambda: entry(LAST, path="x/../../z"), "entries[6].path: it holds a segment '..'"),
    "a path twice": (lambda: entry(THIRD, path="part-2.csv"), "entries[5].path: it stands twice"),
    "a stored file and a pointer in one": (lambda: entry(0, uri="s3://lake/x"), "entries[0].evidence: missing"),
    "a URI that is a number": (lambda: entry(LAST, uri=7), "entries[6].uri: expected a string"),
    "a URI without a scheme": (lambda: entry(LAST, uri="/etc/passwd"), "entries[6].uri: it has no scheme"),
    "a URI that names nothing": (lambda: entry(LAST, uri="s3://"), "entries[6].uri: it names nothing"),
    "a chained URI": (
        lambda: entry(LAST, uri="zip://x::s3://lake/a.zip"),
        "entries[6].uri: it chains file systems with '::'",
    ),
    "a URI with a NUL": (lambda: entry(LAST, uri="s3://lake/a\0b"), "entries[6].uri: it holds a NUL character"),
    "a URI of 8,193 bytes": (
        lambda: entry(LAST, uri="s3://lake/" + "x" * 8183),
        "entries[6].uri: it takes 8,193 bytes, more than 8,192",
    ),
    "a place that is null": (lambda: altered(pointers=[None]), "pointers[0]: expected an object, got null"),
    "places are an object": (lambda: altered(pointers={}), "pointers: expected an array"),
    "a place of another kind": (lambda: place(kind="bucket"), "pointers[1].kind: expected one of"),
    "a place that climbs": (lambda: place(path="../x"), "pointers[1].path: it holds a segment '..'"),
    "a place with evidence unheard of": (lambda: place(evidence="much"), "pointers[1].evidence: expected one of"),
    "a place without a URI": (lambda: place(uri=None), "pointers[1].uri: expected a string"),
    "not said to need pointers": (
        lambda: altered(requires=[]),
        "requires: expected 'pointers', since there are entries that lie elsewhere",
    ),
    "needing more than pointers": (
        lambda: altered(requires=["pointers", "warp"]),
        'requires[1]: unknown feature "warp"',
    ),
    "sizes that do not sum": (lambda: entry(LAST, size=1), "size: expected 1161, the sum of the entries, got 1160"),
    "an object put in place of another": (
        lambda: entry(LAST, uri="gs://lake/b/z.csv"),
        "digest: expected sha256:",
    ),
    "an ETag put in place of another": (lambda: entry(THIRD, etag='"z"'), "digest: expected sha256:"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_manifest_is_refused_with_what_is_wrong_and_where(case):
    make, expected = HOSTILE[case]
    with pytest.raises(StoreFormatError) as caught:
        read(make())
    assert any(problem.startswith(expected) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    "uri",
    [
        "s3://key:HUSH@lake/x",
        "https://user:HUSH@host/x",
        "https://host/x?sig=HUSH",
        "https://host/x?a=1&X-Amz-Signature=HUSH",
        "s3://lake/x?X-Amz-Signature=HUSH",
    ],
)
def test_a_manifest_with_a_secret_is_refused(uri):
    for data, where in ((entry(LAST, uri=uri), "entries[6].uri"), (place(uri=uri), "pointers[1].uri")):
        with pytest.raises(StoreFormatError) as caught:
            read(data)
        assert [problem.partition(": ")[0] for problem in caught.value.problems] == [where]
        assert "it carries" in str(caught.value)
        assert "HUSH" not in str(caught.value)


def test_a_shard_with_a_damaged_pointer_names_its_line():
    data = encode_shard(read(GOLDEN).items[MODEL:]).replace(b'"evidence":"stat"', b'"evidence":"full"', 1)
    shard = Shard("model.bin", 5, len(data), hashlib.sha256(data).hexdigest(), "key")
    with pytest.raises(StoreFormatError) as caught:
        decode_shard(data, shard)
    assert caught.value.problems == ("line 4.evidence: expected 'stat', which is what there is, got 'full'",)
