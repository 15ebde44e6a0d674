"""Which keys a collector knows: every one that this format spells, and nothing else below artifacts/ or in the root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_strategies import HEX32, HEX64, NAMES, SEGMENT

from metamlflow.format.known_keys import is_known
from metamlflow.format.layout import (
    MARKER,
    alias_key,
    blob_key,
    distributions_key,
    edge_key,
    features_key,
    hidden_key,
    idempotency_key,
    manifest_key,
    name_key,
    note_key,
    policies_key,
    protection_key,
    relocation_key,
    run_input_key,
    run_key,
    signature_key,
    state_key,
    tomb_key,
)
from metamlflow.model.names import MAX_VERSION, alias_problem

NUMBERS = st.integers(1, MAX_VERSION)
ALIASES = SEGMENT.filter(lambda alias: alias_problem(alias) is None)


@given(NAMES, NUMBERS, NUMBERS, ALIASES, HEX64, HEX32)
def test_every_key_that_this_format_spells_is_known(name, version, number, alias, hex64, hex32):
    for key in (
        MARKER,
        name_key(name),
        manifest_key(name, version),
        state_key(name, version, number),
        tomb_key(name, version),
        hidden_key(name, number),
        alias_key(name, alias, number),
        note_key(name, None, number),
        note_key(name, version, number),
        policies_key(number),
        protection_key(name, version, number),
        protection_key(name, version, number, ends=True),
        idempotency_key(name, hex64, number),
        relocation_key(number),
        features_key(number),
        edge_key((name, version), (name, number)),
        signature_key(name, version, hex64),
        run_key(hex32, "start"),
        run_input_key(hex32, hex32),
        distributions_key(hex64),
        blob_key(hex64, ".csv", hex32),
    ):
        assert is_known(key)


V1 = "artifacts/a/_versions/9999999998_v1"
UNKNOWN = [
    # reserved for later versions
    "artifacts/a/_hidden/9999999998.json",
    "features/9999999999.json",
    "features/1.json",
    "features/x/9999999998.json",
    "packs/x",
    "catalog/x",
    "staging/x",
    "attachments/x",
    "policies/x",
    "policies/9999999999.json",
    "policies/a/9999999998.json",
    "protections/a/x",
    "protections/a/_v1/9999999999.json",
    "protections/a/_v1/9999999998.ended.json",
    "protections/a/_v01/9999999998.json",
    "protections/a/_v9999999999/9999999998.json",
    "protections/a/v1/9999999998.json",
    "protections/A/_v1/9999999998.json",
    "protections/nul/_v1/9999999998.json",
    "protections/_v1/9999999998.json",
    "protections/a/_v1/x/9999999998.json",
    # nobody knows what it is
    "artifacts/a/_versions/9999999998_v1.parquet",
    "artifacts/a/_versions/9999999998_v2.json",
    "artifacts/a/_versions/x/9999999998_v1.json",
    f"{V1}.state-1.json",
    f"{V1}.state-0000000000.json",
    "artifacts/a/_aliases/best/x.json",
    "artifacts/a/_aliases/best/9999999999.json",
    "artifacts/a/_aliases/Best/9999999998.json",
    "artifacts/a/_aliases/latest/9999999998.json",
    "artifacts/a/_aliases/!latest/9999999998.json",
    f"artifacts/a/_idempotency/{'0' * 64}/1.json",
    f"artifacts/a/_idempotency/{'0' * 63}/9999999998.json",
    f"artifacts/a/_idempotency/{'0' * 64}/x/9999999998.json",
    "artifacts/a/_notes/9999999999.json",
    "artifacts/a/_notes/0000000000.json",
    "artifacts/a/_notes/999999998.json",
    "artifacts/a/_notes/9999999998.txt",
    "artifacts/a/_notes/v0/9999999998.json",
    "artifacts/a/_notes/v01/9999999998.json",
    "artifacts/a/_notes/_v1/9999999998.json",
    "artifacts/a/_notes/v9999999999/9999999998.json",
    "artifacts/a/_notes/v1/9999999999.json",
    "artifacts/a/_notes/v1/x/9999999998.json",
    "artifacts/a/_notes/v1/readme",
    "artifacts/a/_notes/readme",
    "artifacts/a/_notes",
    "artifacts/A/_notes/9999999998.json",
    "artifacts/a/_statistics/9999999998.json",
    "artifacts/a/readme",
    "artifacts/readme",
    "artifacts/A/_versions/9999999998_v1.json",
    "artifacts/a./_versions/9999999998_v1.json",
    "artifacts/nul/_versions/9999999998_v1.json",
    "artifacts/../_versions/9999999998_v1.json",
    "metamlflow.json.bak",
    "metamlflow.json2",
    "readme.md",
    "NAMES/x",
    "names",
    "names2/x",
    "",
]


@pytest.mark.parametrize("key", UNKNOWN)
def test_a_key_that_this_format_does_not_spell_is_unknown(key):
    assert not is_known(key)


@pytest.mark.parametrize(
    "key",
    [
        "names/x",
        "edges/x",
        "runs/x",
        "signatures/x",
        "relocations/x",
        "cache/x",
        ".tmp/x",
        "blobs/md5/x",
        "artifacts/a/",
    ],
)
def test_what_names_no_content_is_harmless_whatever_it_is(key):
    assert is_known(key)
