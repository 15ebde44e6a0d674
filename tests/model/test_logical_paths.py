"""Logical paths: the rule for one, the order of many, and what a disk could not keep apart."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metamlflow.model.paths import OrderCheck, collisions, path_problem

SMALL = st.text(alphabet="aA/-.0~", min_size=1, max_size=6).filter(lambda path: path_problem(path) is None)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.txt",
        ".hidden",
        "...",
        "..a",
        "a..",
        " ",
        "a b",
        "C:\\x",
        "\\",
        "~",
        "-rf",
        "*?<>|\"'",
        "con",
        "ä/ö",
        "a\u0308",
        "🎉",
        "\u2028",
        "\u200b",
        "\ue000",
        "\U0010ffff",
        "x" * 4096,
        "ö" * 2048,
        "a/" * 2047 + "a",
    ],
)
def test_a_legal_path_has_no_problem(path):
    assert path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "it is empty"),
        ("/", "it is absolute"),
        ("/a", "it is absolute"),
        ("//a", "it is absolute"),
        (".", "it holds a segment '.'"),
        ("..", "it holds a segment '..'"),
        ("a/../b", "it holds a segment '..'"),
        ("a/.", "it holds a segment '.'"),
        ("a//b", "it holds an empty segment"),
        ("a/", "it holds an empty segment"),
        ("a\0", "it holds a control character"),
        ("a\tb", "it holds a control character"),
        ("a\x7f", "it holds a control character"),
        ("a\x85", "it holds a control character"),
        ("\ud800", "it is no valid UTF-8"),
        ("x" * 4097, "it takes 4097 bytes, more than 4096"),
        (b"a", "a path is a string, not bytes"),
        (None, "a path is a string, not NoneType"),
    ],
)
def test_an_illegal_path_is_told_why(path, problem):
    assert path_problem(path) == problem


def expected_problem(earlier: list[str], path: str) -> str | None:
    """The rule as one would say it, in time and memory that nobody could afford."""
    if earlier and path == earlier[-1]:
        return "stands twice"
    if earlier and path.encode() < earlier[-1].encode():
        return "out of order"
    return "lies inside" if any(path.startswith(f"{other}/") for other in earlier) else None


@settings(max_examples=500)
@given(st.sets(SMALL, max_size=12))
def test_paths_in_order_are_checked_as_the_plain_rule_says(paths):
    check, earlier = OrderCheck(), []
    for path in sorted(paths, key=str.encode):
        problem, expected = check.problem(path), expected_problem(earlier, path)
        assert (problem is None) == (expected is None), path
        assert expected is None or expected in problem
        earlier.append(path)


@settings(max_examples=300)
@given(st.lists(SMALL | st.text(min_size=1, max_size=3), max_size=12))  # no path is empty
def test_the_first_fault_of_any_list_is_found(paths):
    check, earlier = OrderCheck(), []
    for path in paths:
        problem, expected = check.problem(path), expected_problem(earlier, path)
        if expected is not None:
            assert expected in problem
            break
        assert problem is None
        earlier.append(path)
    for path in paths:  # whatever comes after a fault, it is no crash
        check.problem(path)


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        (["a", "a-b", "a.txt", "a/b"], "it lies inside 'a'"),
        (["a", "a-", "a-/x", "a/b"], "it lies inside 'a'"),
        (["a", "ab", "ab/c"], "it lies inside 'ab'"),
        (["a", "a/b", "a/b/c"], "it lies inside 'a'"),
        (["a", "b", "b"], "it stands twice"),
        (["b", "a"], "it is out of order after 'b'"),
        (["a/b", "a"], "it is out of order after 'a/b'"),
        (["a0", "a/b"], "it is out of order after 'a0'"),
        (["\U0001f600", "\uffff"], "it is out of order"),  # by code point; UTF-16 would disagree
    ],
)
def test_the_last_path_is_told_what_is_wrong(paths, problem):
    check = OrderCheck()
    assert [check.problem(path) for path in paths][-1].startswith(problem)


def test_checking_the_order_takes_constant_memory():
    check = OrderCheck()
    for i in range(1000):
        check.problem(f"warm/{i:08}")
    tracemalloc.start()
    for i in range(50_000):
        assert check.problem(f"x/{i:08}") is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


@pytest.mark.parametrize(
    ("paths", "groups"),
    [
        ([], []),
        (["a", "b"], []),
        (["a/x", "a/y"], []),
        (["a", "A"], [("A", "a")]),
        (["A/x", "a/y"], [("A", "a")]),
        (["A/x", "a/x"], [("A", "a"), ("A/x", "a/x")]),
        (["README", "readme", "ReadMe"], [("README", "ReadMe", "readme")]),
        (["é", "e\u0301"], [("e\u0301", "é")]),
        (["É", "e\u0301"], [("e\u0301", "É")]),
        (["\u212a", "k"], [("k", "\u212a")]),  # the Kelvin sign
        (["straße", "STRASSE"], [("STRASSE", "straße")]),
        (["\u00c5", "\u212b"], [("\u00c5", "\u212b")]),  # letter and Ångström sign
        (["\u1e9b\u0323", "\u1e69"], [("\u1e69", "\u1e9b\u0323")]),  # marks in another order
        (["a", "a/b"], []),  # another check's business
        (["a-b", "a_b", "a.b"], []),
        (["fi", "\ufb01"], [("fi", "\ufb01")]),  # a ligature
        (["d/e/F/g", "d/e/f/g"], [("d/e/F", "d/e/f"), ("d/e/F/g", "d/e/f/g")]),
    ],
)
def test_paths_that_a_disk_could_not_keep_apart_are_grouped(paths, groups):
    assert sorted(collisions(paths)) == sorted(groups)
    assert sorted(collisions(reversed(paths))) == sorted(groups)


@given(st.lists(SMALL, max_size=8))
def test_paths_in_one_case_never_collide(paths):
    assert list(collisions(path.lower() for path in paths)) == []
