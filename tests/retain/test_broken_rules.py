"""Each rule that keeps content and numbers safe, broken on its own, is noticed by the tests that name it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from broken_rules import RULES, VARIABLE

import metamlflow

ROOT = Path(__file__).parents[2]
SOURCE = Path(metamlflow.__file__).parent / "store"


@pytest.mark.parametrize("rule", RULES)
def test_the_text_of_each_rule_is_there_once(rule):
    broken = RULES[rule]
    text = (SOURCE / f"{broken.module.replace('.', '/')}.py").read_text()
    assert text.count(broken.was) == 1
    assert broken.becomes != broken.was


@pytest.mark.full
@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_is_noticed(rule, tmp_path):
    """The same tests pass without it, as all of them do in the quick tier."""
    environment = os.environ | {VARIABLE: rule, "PYTHONPATH": str(Path(__file__).parent)}
    for test in RULES[rule].caught_by:
        options = ["-p", "broken_rules", "-p", "no:cacheprovider", "-n", "0", "-q", "-x", "-m", ""]
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *options, "--basetemp", str(tmp_path / "inner"), test],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 1, f"{test} does not notice that {rule}:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}"
