"""The machine of this folder is worth something: it finds what a broken rule loses, and nothing where all are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VARIABLE = "METAMLFLOW_BROKEN_RULE"
SEEDS, STEPS = "250", "200"

# Of the rules in tests/retain/broken_rules.py those whose loss needs no rare order of steps; directed tests notice all.
NOTICED = (
    "a prune does not look again",
    "who protects does not look again",
    "a restore has no deadline",
    "a publish does not look at its age before its claim",
)


def walk(rule: str) -> subprocess.CompletedProcess[str]:
    program = (
        f"import broken_rules, runpy, sys; sys.argv[0] = {str(HERE / 'walk.py')!r}; sys.path.insert(0, {str(HERE)!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", f"{program}; runpy.run_path(sys.argv[0], run_name='__main__')", SEEDS, STEPS],
        env=os.environ | {VARIABLE: rule, "PYTHONPATH": str(HERE.parent / "retain")},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("rule", NOTICED)
def test_the_machine_notices_that_a_rule_is_broken(rule):
    ran = walk(rule)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "seed" in ran.stdout, ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_the_machine_notices_nothing_where_all_rules_are_kept():
    ran = walk("")
    assert ran.returncode == 0, ran.stdout + ran.stderr
