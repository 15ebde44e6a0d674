"""The house rules hold in everything that is shipped, and each rule would notice if they did not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import source_rules
from checkout import ROOT, source_files, sources_of_tests

from extras import LARGE

Rule = Callable[[str], list[str]]

LAYOUT = ROOT / "src/metamlflow/format/layout.py"
CLIENT = ROOT / "src/metamlflow/client.py"
EXEMPT = {source_rules.spelled_keys: LAYOUT, source_rules.long_files: CLIENT}

RULES = [
    source_rules.long_files,
    source_rules.long_functions,
    source_rules.undocumented_names,
    source_rules.broad_excepts,
    source_rules.spelled_keys,
]

BROKEN = {
    "a file of 301 lines of code": (source_rules.long_files, "x = 1\n" * 301),
    "a test file of 401 lines of code": (source_rules.long_test_files, "x = 1\n" * 401),
    "a function of 61 lines": (source_rules.long_functions, "def f():\n" + "    x = 1\n" * 60),
    "a call of 16 statements": (source_rules.long_calls, "class C:\n def f(self):\n" + "  x = 1\n" * 16),
    "a module without a docstring": (source_rules.undocumented_names, "x = 1\n"),
    "a function without a docstring": (source_rules.undocumented_names, '"""M."""\ndef f(): ...\n'),
    "a method without a docstring": (source_rules.undocumented_names, '"""M."""\nclass C:\n "C."\n def f(self): ...\n'),
    "a function defined in a branch": (source_rules.undocumented_names, '"""M."""\nif x:\n def f(): ...\n'),
    "a bare except": (source_rules.broad_excepts, "try: f()\nexcept: pass\n"),
    "an except Exception": (source_rules.broad_excepts, "try: f()\nexcept Exception: pass\n"),
    "a broad except in a tuple": (source_rules.broad_excepts, "try: f()\nexcept (OSError, BaseException): pass\n"),
    "a broad except that forgets the cause": (
        source_rules.broad_excepts,
        "try: f()\nexcept Exception as e: raise OSError from None\n",
    ),
    "a key": (source_rules.spelled_keys, "key = 'blobs/sha256'\n"),
    "a key in an f-string": (source_rules.spelled_keys, "key = f'artifacts/{name}'\n"),
}

KEPT = {
    "a file of 300 lines of code, and as many that explain them": (
        source_rules.long_files,
        '"""M.' + "\n" * 200 + '"""\n' + "# Why.\n\n" * 100 + "x = 1\n" * 300,
    ),
    "a test file of 400 lines of code, and as many that explain them": (
        source_rules.long_test_files,
        '"""M.' + "\n" * 200 + '"""\n' + "# Why.\n\n" * 100 + "x = 1\n" * 400,
    ),
    "a function of 60 lines and a long docstring": (
        source_rules.long_functions,
        'def f():\n    """D.' + "\n" * 30 + '"""\n' + "    x = 1\n" * 59,
    ),
    "a private function without a docstring": (source_rules.undocumented_names, '"""M."""\ndef _f(): ...\n'),
    "a function inside a function": (source_rules.undocumented_names, '"""M."""\ndef f():\n "F."\n def g(): ...\n'),
    "an overload": (source_rules.undocumented_names, '"""M."""\n@overload\ndef f(): ...\n'),
    "a broad except that raises again": (source_rules.broad_excepts, "try: f()\nexcept BaseException: raise\n"),
    "a broad except that translates": (
        source_rules.broad_excepts,
        "try: f()\nexcept Exception as error: raise OSError from error\n",
    ),
    "a broad except with a reason": (
        source_rules.broad_excepts,
        "try: f()\nexcept Exception: pass  # no" + "qa: BLE001 (a plug-in may raise anything)\n",
    ),
    "a docstring that speaks of a key": (source_rules.spelled_keys, "def f():\n 'runs/<id>'\n"),
    "a word in a path": (source_rules.spelled_keys, "path = 'docs/artifacts/'\n"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_shipped_file_breaks(rule: Rule) -> None:
    sources = [path for path in source_files() if path != EXEMPT.get(rule)]
    broken = [f"{path.relative_to(ROOT)}:{place}" for path in sources for place in rule(path.read_text("utf-8"))]
    assert not broken, "\n".join([rule.__doc__ or "", *broken])


def test_the_client_is_a_list_of_short_calls() -> None:
    assert source_rules.long_calls(CLIENT.read_text("utf-8")) == [], source_rules.long_calls.__doc__


def test_no_file_of_tests_is_long() -> None:
    sources = {path: path.read_text("utf-8") for path in sources_of_tests()}
    assert len(sources) > 100
    broken = [
        f"{path.relative_to(ROOT)}:{place}" for path in sources for place in source_rules.long_test_files(sources[path])
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("rule", "source"), BROKEN.values(), ids=BROKEN)
def test_a_rule_notices(rule: Rule, source: str) -> None:
    assert len(rule(source)) == 1


@pytest.mark.parametrize(("rule", "source"), KEPT.values(), ids=KEPT)
def test_a_rule_permits(rule: Rule, source: str) -> None:
    assert rule(source) == []


def test_the_layout_module_is_where_keys_are_spelled() -> None:
    assert source_rules.spelled_keys(LAYOUT.read_text("utf-8"))


def test_what_only_the_larger_extra_brings_is_imported_where_a_test_can_be_skipped() -> None:
    imports = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(LARGE)})\b", re.MULTILINE)
    assert [path for path in sources_of_tests() if imports.search(path.read_text("utf-8"))] == [], "see tests/extras.py"
