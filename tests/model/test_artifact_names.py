"""Names and references: what is one, what is none, and that each is read back from its text."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metamlflow.errors import InvalidNameError
from metamlflow.model.names import MAX_VERSION, ArtifactName, Reference, alias_problem, name_problem

SEGMENT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True).filter(lambda s: name_problem(s) is None)
NAMES = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join).map(ArtifactName.parse)
ALIASES = SEGMENT.filter(lambda value: alias_problem(value) is None)


@given(NAMES)
def test_a_name_is_read_back_from_its_text(name):
    assert ArtifactName.parse(str(name)) == name
    assert type(pickle.loads(pickle.dumps(name))) is ArtifactName


@given(st.builds(Reference, NAMES, st.just("latest") | ALIASES | st.integers(1, MAX_VERSION)))
def test_a_reference_is_read_back_from_its_text(reference):
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(str(reference.name), reference.version) == reference


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "A",
        "0",
        "a/b",
        "fraud/features",
        "a.b-c_d",
        "a..b",
        "v1.0/",
        "x" * 200,
        "A" * 120,
        "a.json/b",
        "console",
        "a-con",
        "con_1",
        "com0",
        "com10",
        "null",
        "x.con",
    ],
)
def test_a_good_name_is_taken_and_a_slash_at_its_end_is_not(name):
    if name.endswith("/"):
        with pytest.raises(InvalidNameError):
            ArtifactName.parse(name)
    else:
        assert ArtifactName.parse(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "it is empty"),
        ("/a", "not allowed"),
        ("a/", "it ends in a slash"),
        ("a//b", "not allowed"),
        ("..", "not allowed"),
        ("a/../b", "not allowed"),
        (".hidden", "not allowed"),
        ("_versions", "not allowed"),
        ("-rf", "not allowed"),
        ("a b", "not allowed"),
        ("a\n", "not allowed"),
        ("a!b", "not allowed"),
        ("a\\b", "not allowed"),
        ("ä", "not allowed"),
        ("a\0", "not allowed"),
        ("٣", "not allowed"),
        ("a.", "its segment 'a.' ends in a dot"),
        ("a./b", "its segment 'a.' ends in a dot"),
        ("a/b..", "its segment 'b..' ends in a dot"),
        ("con", "its segment 'con' is the name of a device"),
        ("a/NUL", "its segment 'NUL' is the name of a device"),
        ("Aux/b", "its segment 'Aux' is the name of a device"),
        ("a/prn.tar.gz", "its segment 'prn.tar.gz' is the name of a device"),
        ("com1", "is the name of a device"),
        ("lpt9.v2/b", "is the name of a device"),
        ("x" * 201, "it has 201 characters"),
        ("A" * 121, "takes 242 bytes in a key"),
        (7, "a string, not int"),
        (None, "a string, not NoneType"),
        (b"a", "a string, not bytes"),
    ],
)
def test_a_bad_name_is_refused_with_the_rule(name, problem):
    with pytest.raises(InvalidNameError) as caught:
        ArtifactName.parse(name)
    assert problem in caught.value.message
    assert caught.value.value == name


@pytest.mark.parametrize(
    ("given_parts", "version"),
    [
        (("a",), "latest"),
        (("a@latest",), "latest"),
        (("a", "latest"), "latest"),
        (("a", 2), 2),
        (("a", "2"), 2),
        (("a@2",), 2),
        (("a@002",), 2),
        (("a", np.int64(2)), 2),
        (("a@best",), "best"),
        (("a", "1.0"), "1.0"),
        (("a", "v2"), 2),
        (("a@v2",), 2),
    ],
)
def test_a_reference_is_read_however_it_is_given(given_parts, version):
    reference = Reference.parse(*given_parts)
    assert (reference.name, reference.version) == ("a", version)
    assert type(reference.version) is type(version)


@pytest.mark.parametrize(
    "parts",
    [
        ("a@",),
        ("@2",),
        ("a@b@c",),
        ("a@2", 3),
        ("a@2", "best"),
        ("a", 0),
        ("a", -1),
        ("a", "0"),
        ("a", 10**10),
        ("a", "9" * 5000),
        ("a", True),
        ("a", 2.0),
        ("a", None),
        ("a", ""),
        ("a", "b/c"),
        ("a", "-1"),
        ("a", "x" * 101),
        ("a", b"2"),
    ],
    ids=lambda parts: repr(parts)[:40],
)
def test_a_bad_reference_is_refused(parts):
    with pytest.raises(InvalidNameError):
        Reference.parse(*parts)


@pytest.mark.parametrize(
    "alias",
    ["latest", "Latest", "LATEST", "best.", "nul", "COM1", "aux.v1", "1", "007", "", "a/b", ".a", "ä", "x" * 101],
)
def test_what_names_versions_already_or_is_no_segment_is_no_alias(alias):
    assert alias_problem(alias)


@pytest.mark.parametrize("alias", ["best", "later", "latest-good", "1.0", "v1.0", "x" * 100])
def test_a_good_alias_is_taken(alias):
    assert alias_problem(alias) is None


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("fraud/model:2", "fraud/model@2"),
        ("model:v3", "model@v3"),
        ("model:latest", "model@latest"),
        ("metamlflow://fraud/model@2", "fraud/model@2"),
    ],
)
def test_the_error_for_a_reference_of_another_form_tells_ours(given_name, meant):
    with pytest.raises(InvalidNameError) as caught:
        Reference.parse(given_name)
    assert caught.value.hint.startswith(f"Did you mean '{meant}'? A name is made of ")


@pytest.mark.parametrize(
    "odd", ["s3://bucket/x", "model:", ":2", "a:b/c", "metamlflow://m@1::s3://key:secret@b", "a b:2"]
)
def test_no_reference_is_guessed_from_what_has_no_such_form(odd):
    with pytest.raises(InvalidNameError) as caught:
        Reference.parse(odd)
    assert "Did you mean" not in str(caught.value)
