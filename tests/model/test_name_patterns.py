"""Patterns over names: a star stays within its segment."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metamlflow.errors import InvalidNameError
from metamlflow.model.patterns import NamePattern, name_patterns

FIT = {
    "team/*": (["team/a", "team/a.b"], ["team", "team/a/b", "Team/a", "other/team/a"]),
    "team/**": (["team/a", "team/a/b"], ["team", "teams/a"]),
    "**": (["a", "a/b/c"], []),
    "*": (["a"], ["a/b"]),
    "a?c": (["abc", "a.c"], ["ac", "a/c", "abbc"]),
    "*/x": (["a/x"], ["a/b/x", "x"]),
    "**/x": (["a/x", "a/b/x"], ["x"]),
    "a.c": (["a.c"], ["abc"]),
    "ab*": (["ab", "abc"], ["ab/c", "xab"]),
}


@pytest.mark.parametrize("pattern", FIT)
def test_it_fits_these_names_and_not_those(pattern):
    found = NamePattern.parse(pattern)
    fits, others = FIT[pattern]
    assert [found.matches(name) for name in fits] == [True] * len(fits)
    assert [found.matches(name) for name in others] == [False] * len(others)
    assert NamePattern.parse(str(found)) == found


@pytest.mark.parametrize(
    "wrong", ["", "/a*", "a*/", "a//*", "***", "a b*", "a@*", "[ab]*", "nul", "a.", 7, None, "ä*", "*" * 401]
)
def test_what_fits_no_name_is_refused(wrong):
    with pytest.raises(InvalidNameError):
        NamePattern.parse(wrong)


def test_one_or_several_are_given():
    assert [str(pattern) for pattern in name_patterns("a/*")] == ["a/*"]
    assert [str(pattern) for pattern in name_patterns(iter(["a", "b"]))] == ["a", "b"]
    for wrong in ([], 7, [7]):
        with pytest.raises(InvalidNameError):
            name_patterns(wrong)


@given(st.text("ab.*?", min_size=1, max_size=8).filter(lambda text: "**" not in text), st.text("ab.", max_size=8))
def test_within_one_segment_it_is_the_pattern_of_a_shell(text, name):
    try:
        pattern = NamePattern.parse(text)
    except InvalidNameError:
        return
    assert pattern.matches(name) == fnmatch.fnmatchcase(name, text)


@pytest.mark.parametrize("part", ["*a", "**a", "?*", "*?a", "a**"])
def test_a_pattern_with_many_stars_is_matched_at_once(part):
    pattern = NamePattern.parse((part * 200)[:399].rstrip("/") + "b")
    began = time.process_time()
    assert not pattern.matches("a" * 200)
    assert not pattern.matches("a/" * 99 + "aa")
    assert time.process_time() - began < 1


@given(pattern=st.text("ab/*?", min_size=1, max_size=8), name=st.text("ab/", max_size=10))
def test_a_pattern_matches_what_a_regular_expression_would(pattern, name):
    tokens = re.findall(r"\*\*|\*|\?|[^*?]+", pattern)
    expression = "".join({"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token) or re.escape(token) for token in tokens)
    assert NamePattern(pattern).matches(name) == (re.fullmatch(expression, name) is not None)
