"""Keys: spelled in one place, unmistakable, safe on disks that fold case, and the same as in SPEC.md."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_strategies import HEX32, HEX64, NAMES, SEGMENT

from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import (
    LONGEST_KEY,
    MARKER,
    VersionKey,
    alias_key,
    blob_key,
    escape_name,
    extension_of,
    extension_of_blob_key,
    hidden_key,
    idempotency_key,
    manifest_key,
    name_key,
    name_of_key,
    note_key,
    note_of_key,
    parse_alias_key,
    parse_hidden_key,
    parse_idempotency_key,
    parse_relocation_key,
    parse_version_key,
    relocation_key,
    sha256_of_blob_key,
    state_key,
    state_number_of_key,
    tomb_key,
    unescape_name,
    version_prefix,
)
from metamlflow.model.names import MAX_VERSION, ArtifactName, name_problem

SPECIFICATION = Path(__file__).parents[2] / "docs" / "SPEC.md"
HEX = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
ID = "fedcba9876543210fedcba9876543210"
VERSIONS = st.integers(1, MAX_VERSION)
NAME = ArtifactName("Fraud/features")

EXAMPLES = {
    MARKER: "metamlflow.json",
    name_key(NAME): "names/!fraud/features.json",
    name_key(ArtifactName("a.json/b")): "names/a!.json/b.json",
    manifest_key(NAME, 1): "artifacts/!fraud/features/_versions/9999999998_v1.json",
    manifest_key(NAME, 12): "artifacts/!fraud/features/_versions/9999999987_v12.json",
    state_key(NAME, 12, 1): "artifacts/!fraud/features/_versions/9999999987_v12.state-9999999998.json",
    alias_key(NAME, "Best", 2): "artifacts/!fraud/features/_aliases/!best/9999999997.json",
    note_key(NAME, None, 1): "artifacts/!fraud/features/_notes/9999999998.json",
    note_key(NAME, 12, 2): "artifacts/!fraud/features/_notes/v12/9999999997.json",
    idempotency_key(NAME, HEX, 1): f"artifacts/!fraud/features/_idempotency/{HEX}/9999999998.json",
    blob_key(HEX): f"blobs/sha256/58/{HEX}",
    blob_key(HEX, ".csv.gz", ID): f"blobs/sha256/58/{HEX}-{ID}.csv.gz",
}


@pytest.mark.parametrize("key", EXAMPLES, ids=lambda key: key[:60])
def test_a_key_is_spelled_as_the_specification_shows(key):
    assert key == EXAMPLES[key]
    assert f"`{key}`" in SPECIFICATION.read_text()


@given(NAMES)
def test_a_name_comes_back_from_its_spelling_in_keys(name):
    assert unescape_name(escape_name(name)) == name
    assert name_of_key(name_key(name)) == name


@given(NAMES)
def test_a_spelling_has_no_capital_that_a_disk_could_fold(name):
    # With the law above: two names that differ never meet, not even under case folding.
    assert escape_name(name) == escape_name(name).casefold()
    assert escape_name(name).isascii()


# Names made of the pieces that could be taken for one another.
TRICKY = st.lists(st.sampled_from(["a", "A", ".json", ".JSON", "1", "/a", "/A", "-", "_"]), min_size=1).map("".join)


@settings(max_examples=200)
@given(TRICKY, TRICKY)
def test_no_record_of_a_name_is_a_folder_of_another(first, second):
    if first == second or name_problem(first) or name_problem(second):
        return
    keys = [name_key(ArtifactName(first)).casefold(), name_key(ArtifactName(second)).casefold()]
    assert keys[0] != keys[1]
    assert not keys[1].startswith(f"{keys[0]}/")
    keys = [manifest_key(ArtifactName(first), 1), manifest_key(ArtifactName(second), 1)]
    assert not keys[1].startswith(keys[0].removesuffix("9999999998_v1.json"))


@given(NAMES, VERSIONS, VERSIONS)
def test_newer_versions_list_first(name, one, other):
    newer, older = max(one, other), min(one, other)
    if newer != older:
        assert manifest_key(name, newer) < manifest_key(name, older)
        assert state_key(name, newer, 1) < manifest_key(name, older)


@given(NAMES, VERSIONS, VERSIONS)
def test_a_version_key_is_read_back_and_lists_before_its_states(name, version, number):
    manifest, state = manifest_key(name, version), state_key(name, version, number)
    found = parse_version_key(name, manifest)
    assert (found.version, found.state) == (version, None)
    found = parse_version_key(name, state)
    assert (found.version, found.state) == (version, number)
    assert (state_number_of_key(manifest), state_number_of_key(state)) == (None, number)
    assert manifest < state


@given(NAMES, VERSIONS, VERSIONS)
def test_a_note_key_is_read_back_and_those_on_the_name_list_before_those_on_its_versions(name, version, number):
    on_name, on_version = note_key(name, None, number), note_key(name, version, number)
    assert (note_of_key(name, on_name).version, note_of_key(name, on_name).number) == (None, number)
    assert (note_of_key(name, on_version).version, note_of_key(name, on_version).number) == (version, number)
    assert note_key(name, None, 1) < note_key(name, version, MAX_VERSION)


@given(NAMES, SEGMENT, VERSIONS, VERSIONS)
def test_in_every_series_a_number_is_the_inverse_of_ten_digits_and_the_newest_lists_first(name, alias, one, other):
    series = [
        partial(state_key, name, 1),
        partial(alias_key, name, alias),
        partial(idempotency_key, name, HEX),
        partial(note_key, name, None),
        partial(note_key, name, 1),
        relocation_key,
    ]
    for key in series:
        assert key(one).removesuffix(".json").endswith(f"{9_999_999_999 - one:010d}")
        assert (key(one) < key(other)) == (one > other)
    assert parse_relocation_key(relocation_key(one)) == one


@given(NAMES, st.integers(1, 1000), st.integers(1, 1000))
def test_the_prefix_of_a_version_is_no_prefix_of_another(name, one, other):
    assert manifest_key(name, other).startswith(version_prefix(name, one)) == (one == other)


@given(NAMES, SEGMENT, st.integers(1, MAX_VERSION))
def test_numbered_records_are_read_back(name, alias, number):
    assert parse_alias_key(name, alias, alias_key(name, alias, number)) == number
    assert parse_idempotency_key(name, HEX, idempotency_key(name, HEX, number)) == number


@pytest.mark.parametrize(
    "key",
    [
        "artifacts/a/_versions/9999999998_v2.json",  # the numbers disagree
        "artifacts/a/_versions/9999999998_v01.json",
        "artifacts/a/_versions/999999998_v1.json",
        "artifacts/a/_versions/0000000000_v9999999999.json",  # beyond the highest version
        "artifacts/a/_versions/9999999998_v1.json.tmp",
        "artifacts/a/_versions/9999999998_v1.state-0.json",
        "artifacts/a/_versions/9999999998_v1.state-01.json",
        "artifacts/a/_versions/9999999998_v1.state-0000000000.json",  # 9,999,999,999 is the number of none
        "artifacts/a/_versions/9999999998_v1.state-9999999999.json",  # and neither is 0
        "artifacts/a/_versions/9999999998_v1.state-99999999980.json",
        "artifacts/a/_versions/9999999998_v1.state-.json",
        "artifacts/a/_versions/x/9999999998_v1.json",
        "artifacts/b/_versions/9999999998_v1.json",
        "9999999998_v1.json",
        "artifacts/a/_versions/",
        "artifacts/a/_versions/٩٩٩٩٩٩٩٩٩٨_v1.json",
    ],
)
def test_a_key_that_is_no_versions_is_not_taken_for_one(key):
    assert parse_version_key(ArtifactName("a"), key) is None


@pytest.mark.parametrize("number", [1, 2, 10, 999_999_999])
def test_a_state_as_it_was_spelled_before_is_refused_and_not_ignored(number):
    key = f"artifacts/a/_versions/9999999998_v1.state-{number}.json"
    with pytest.raises(StoreFormatError, match="from before format 1 was settled") as caught:
        parse_version_key(ArtifactName("a"), key)
    assert caught.value.key == key
    assert parse_version_key(ArtifactName("b"), key) is None


@given(NAMES, VERSIONS, VERSIONS)
def test_the_record_of_an_erased_version_lists_after_its_manifest_and_its_states(name, version, number):
    tomb = tomb_key(name, version)
    assert manifest_key(name, version) < state_key(name, version, number) < tomb
    assert parse_version_key(name, tomb) == VersionKey(version, None, is_tomb=True)
    assert state_number_of_key(tomb) is None


@given(NAMES, VERSIONS)
def test_what_hides_a_name_lies_among_the_names_and_is_none(name, number):
    key = hidden_key(name, number)
    assert key.startswith("names/")
    assert parse_hidden_key(key) == (name, number)
    assert name_of_key(key) is None
    assert parse_hidden_key(name_key(name)) is None


@pytest.mark.parametrize(
    "key",
    [
        "names/a!/0000000000.json",
        "names/a!/9999999999.json",
        "names/a!/1.json",
        "names/A!/9999999998.json",
        "names/a!/b!/9999999998.json",
        "names/!/9999999998.json",
        "names/a!b/9999999998.json",
        "names/a/9999999998.json",
    ],
)
def test_a_key_that_hides_nothing_is_not_taken_for_one_that_does(key):
    assert parse_hidden_key(key) is None


@pytest.mark.parametrize("file", ["0000000000.json", "9999999999.json", "1.json", "9999999998", "x.json"])
def test_a_key_outside_a_series_is_not_taken_for_a_record(file):
    assert parse_alias_key(ArtifactName("a"), "best", f"artifacts/a/_aliases/best/{file}") is None
    assert parse_alias_key(ArtifactName("a"), "best", file) is None
    assert parse_idempotency_key(ArtifactName("a"), HEX, file) is None


@pytest.mark.parametrize(
    "key",
    ["names/a", "names/A.json", "names/!A.json", "names/!1.json", "names/a.json/b.json", "names/a!", "other/a.json"],
)
def test_a_key_that_no_name_has_stands_for_no_name(key):
    assert name_of_key(key) is None


@given(HEX64, st.sampled_from(["", ".csv", ".csv.gz", ".7z"]), st.none() | HEX32)
def test_a_blob_key_tells_digest_and_extension(sha256, extension, publish_id):
    key = blob_key(sha256, extension, publish_id)
    assert sha256_of_blob_key(key) == sha256
    assert extension_of_blob_key(key) == extension


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        ("data.csv", ".csv"),
        ("data.csv.gz", ".csv.gz"),
        ("folder.d/data", ""),
        ("folder.d/data.parquet", ".parquet"),
        ("DATA.CSV", ".csv"),
        ("model.v1.2.bin", ".2.bin"),
        ("a.b.c.d", ".c.d"),
        ("archive.tar.gz", ".tar.gz"),
        ("weights.safetensors", ""),  # eleven letters
        ("weights.safetensors.gz", ".gz"),
        ("a.csv.safetensors", ""),
        (".bashrc", ""),
        (".hidden.csv", ".csv"),
        ("..a.csv", ".csv"),
        ("README", ""),
        ("ends.with.", ""),
        ("two..gz", ".gz"),
        ("with space.b c.gz", ".gz"),
        ("ümlaut.bär", ""),
        ("a.İ", ""),
        ("a.12345678", ".12345678"),
        ("a.123456789", ""),
        ("a.x_y", ""),
        ("a.tar.x-y", ""),
        ("", ""),
    ],
)
def test_the_extension_is_what_readers_look_for(path, extension):
    assert extension_of(path) == extension
    assert sha256_of_blob_key(blob_key(HEX, extension)) == HEX


def test_no_key_is_longer_than_a_store_leaves_room_for():
    longest = ArtifactName.parse("/".join(["A" * 99, "A" * 100]))
    keys = [
        name_key(longest),
        state_key(longest, MAX_VERSION, MAX_VERSION),
        alias_key(longest, "A" * 100, MAX_VERSION),
        idempotency_key(longest, HEX, MAX_VERSION),
        note_key(longest, MAX_VERSION, 1),
        blob_key(HEX, ".12345678.12345678", ID),
        f"edges/{escape_name(longest)}/_v{MAX_VERSION}/{escape_name(longest)}@{MAX_VERSION}",
    ]
    assert max(map(len, keys)) <= LONGEST_KEY


@pytest.mark.parametrize("value", ["A" * 120, "a" * 190 + ".json/b", "A" * 115 + "a.json/" + "A" * 78])
def test_no_segment_of_a_key_is_longer_than_file_systems_take(value):
    name = ArtifactName.parse(value)
    segments = f"{name_key(name)}/{escape_name(name)}@{MAX_VERSION}".split("/")
    assert max(map(len, segments)) <= 255
