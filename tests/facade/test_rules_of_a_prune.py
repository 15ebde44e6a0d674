"""Rules that are refused say what is allowed; rules that are recorded say how much they leave out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import InvalidInputError


@pytest.fixture
def client(tmp_path):
    client = MetaMLFlowClient(f"file://{tmp_path}/store")
    for number in range(13):
        client.register_artifact("net", b"%d" % number, "model")
    return client


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"keep_last": 10**30}, "keep_last is a whole number from 1 to 1,000,000,000, not 1000"),
        ({"older_than": timedelta.max}, "and of at most 115,740 days, not datetime"),
        ({"older_than": timedelta(days=115_741)}, "and of at most 115,740 days, not datetime"),
    ],
    ids=str,
)
def test_a_rule_that_is_too_large_is_told_the_largest(client, rules, said):
    for call in (client.prune, client.set_policy):
        with pytest.raises(InvalidInputError) as caught:
            call("net", **rules)
        assert said in str(caught.value)


def test_a_record_of_many_numbers_says_that_there_were_more(client):
    report = client.prune("net", versions=range(1, 13))
    assert {decision.reason for decision in report.pruned} == {"versions=1,2,3,4,5,6,7,8,9,10 and 2 more"}
    assert client.prune("net", versions=range(1, 11)).summary().startswith("0 pruned")


@pytest.mark.parametrize("version", [5, 13], ids=["between", "newest"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_version_that_vanished_although_something_holds_it_is_told(client, tmp_path, version, dry_run):
    client.set_alias("net", "production", version)
    client.set_alias("net", "good", 12 if version == 13 else 13)
    client.protect(f"net@{version}", "figure 3")
    (manifest,) = (tmp_path / "store").rglob(f"*_v{version}.json")
    manifest.unlink()
    report = MetaMLFlowClient(f"file://{tmp_path}/store").prune("net", keep_last=1, dry_run=dry_run)
    (warning,) = report.warnings
    assert warning.startswith(f"net@{version} is missing, and yet it is protected: ")
    assert "`fsck`" in warning


def test_a_policy_without_a_rule_says_that_none_was_set(client):
    with pytest.raises(InvalidInputError, match="no policy was set") as caught:
        client.set_policy("net")
    assert "dry_run" not in caught.value.hint, "setting one has no dry run"
    assert client.policies() == []


def test_a_pattern_that_no_name_fits_is_a_warning_and_a_name_that_is_not_there_an_error(client):
    report = client.prune(["net*", "nets*"], keep_last=1, dry_run=True)
    assert (len(report.pruned), report.warnings) == (12, ["no name fits 'nets*'"])
    client.set_policy("elsewhere/*", keep_last=1)
    assert client.apply_policies().warnings == [], "a policy may wait for its names"
    assert client.apply_policies("net/*").warnings == ["no name fits 'net/*'"]
