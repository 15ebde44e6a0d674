"""Conditions at random over facts at random: names, values and kinds that meet, and those that do not."""

from __future__ import annotations

import json

from hypothesis import strategies as st

SCALARS = [
    0,
    1,
    2,
    0.5,
    1.0,
    -1,
    2**53 + 1,
    2**70,
    1e300,
    True,
    False,
    None,
    "a",
    "b",
    "",
    "1",
    "x" * 1_001,
    "ünï",
    [1],
    {},
]
NUMBERS = [0, 1, 2, 0.5, 1.0, -1, 2**53 + 1, 2**70]
KEYS = ["a", "b", "deep", "odd key", "[", "ünï"]
NAMES = ["m", "data", "team/m", "team/deep/x"]
METADATA = st.dictionaries(
    st.sampled_from(KEYS), st.sampled_from(SCALARS) | st.dictionaries(st.sampled_from(KEYS), st.sampled_from(SCALARS))
)


def _text(value: object) -> str:
    return "null" if value is None else json.dumps(value, ensure_ascii=False)


LITERALS = [_text(value) for value in (*NUMBERS, True, False, None, "a", "b", "", "1", "ünï")]
LISTS = ["[]", "[1, 2]", "['a', 'b']", "[1, 'a', null]", "[true]", "(0.5,)"]
METADATA_FIELDS = [f"metadata[{json.dumps(key, ensure_ascii=False)}]" for key in KEYS]
METADATA_FIELDS += ["metadata.deep.a", "metadata.deep.b", "metadata.lost"]
SIGNS = ["=", "==", "!=", "<", "<=", ">", ">="]
PATTERNS = ["'*'", "'**'", "'team/*'", "'team/**'", "'a*'", "'data@?'"]
FIXED = [
    "version = 1",
    "version >= 2",
    "2 > version",
    "version in [1, 3]",
    "version < metadata.a",
    "name in ['m', 'data']",
    "name < 'n'",
    "name != 'm'",
    "type = 'model'",
    "artifact_type not in ['model']",
    "size > 1",
    "size = 1.0",
    "size > '1'",
    "run = null",
    "run = 'x'",
    "run != null",
    "run < 'x'",
    "writer matches 'meta*'",
    "saved_as matches 'parquet/*'",
    "saved_as = null",
    "created_at > '2020-01-01'",
    "created_at in ['2020-01-01']",
    "created_at",
    "input = 'data@1'",
    "input = 'data'",
    "input != 'm@1'",
    "input = null",
    "'data@1' in input",
    "input in ['m', 'data@2']",
    "input = metadata.a",
    "column = 'age'",
    "columns.age = 'int64'",
    "columns.age != 'string'",
    "columns.age.x = 'int64'",
    "alias = 'production'",
    "alias = null",
    "alias not in ['production']",
    "alias matches 'p*'",
    "tag = 'team'",
    "tags.team = 'fraud'",
    "tags.team.x = 'fraud'",
    "title = 'T'",
    "title = null",
    "description matches '*'",
]


def _comparisons() -> st.SearchStrategy[str]:
    field = st.sampled_from(METADATA_FIELDS)
    return st.one_of(
        st.sampled_from(FIXED),
        field,
        st.builds("{} {} {}".format, field, st.sampled_from(SIGNS), st.sampled_from(LITERALS)),
        st.builds("{} {} {}".format, st.sampled_from(LITERALS), st.sampled_from(SIGNS), field),
        st.builds("{} {} {}".format, field, st.sampled_from(SIGNS), field),
        st.builds("{} {} {}".format, field, st.sampled_from(["in", "not in"]), st.sampled_from(LISTS)),
        st.builds("{} in {}".format, st.sampled_from(LITERALS), field),
        st.builds("{} {} {}".format, field, st.sampled_from(["matches", "not matches"]), st.sampled_from(PATTERNS)),
        st.builds("name {} {}".format, st.sampled_from(["matches", "not matches"]), st.sampled_from(PATTERNS)),
    )


CONDITIONS = st.recursive(
    _comparisons(),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)
