"""The script that runs the conformance suite on a bucket that a user names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clouds import Cloud
from proxy_faults import ACCESS_DENIED, Rule, StripConditions

pytestmark = [pytest.mark.emulator, pytest.mark.full]

SCRIPT = Path(__file__).parents[3] / "examples/conformance_on_a_bucket.py"
QUICK = "second_create or bytes_as_they_are or put_says or key_order"


def run(cloud: Cloud, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    options = [f"{name}={json.dumps(value)}" for name, value in cloud.options.items() if name != "secret"]
    arguments = [argument for text in (*options, "secret=a-secret-key") for argument in ("--option", text)]
    if cloud.scheme == "gs":
        arguments = arguments[:-2]
    return subprocess.run(
        [sys.executable, SCRIPT, cloud.url, *arguments, *more],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_suite_runs_there_and_leaves_nothing_behind(plain_cloud: Cloud, tmp_path):
    answer = run(plain_cloud, tmp_path, "-k", QUICK)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert " passed" in answer.stdout
    assert f"writing below {plain_cloud.url}/conformance-" in answer.stdout
    assert "everything was deleted" in answer.stdout
    assert plain_cloud.proxy.counts[plain_cloud.words.put] >= 3
    assert plain_cloud.objects() == {}
    assert list(tmp_path.iterdir()) == [], "no cache, no settings"


def test_a_bucket_that_keeps_no_condition_fails_and_is_left_clean(plain_cloud: Cloud, tmp_path):
    plain_cloud.proxy.add(Rule(StripConditions(), times=None))
    answer = run(plain_cloud, tmp_path, "-k", QUICK)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "FAILED" in answer.stdout
    assert "a-secret-key" not in answer.stdout + answer.stderr
    assert plain_cloud.objects() == {}


def test_what_could_not_be_deleted_is_named(plain_cloud: Cloud, tmp_path):
    plain_cloud.proxy.add(Rule(ACCESS_DENIED, op="*elete*", times=None))
    answer = run(plain_cloud, tmp_path, "-k", "second_create")
    assert answer.returncode != 0
    assert f"could not be deleted below {plain_cloud.url}/conformance-" in answer.stdout
    assert plain_cloud.objects() != {}


@pytest.mark.parametrize("wrong", ["token", "=x"])
def test_an_option_without_a_value_is_refused(wrong, tmp_path):
    answer = subprocess.run(
        [sys.executable, SCRIPT, "s3://b", "--option", wrong], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, "is not name=value" in answer.stderr) == (2, True)
