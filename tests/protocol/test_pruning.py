"""Pruning: what may go, what holds a version, and what comes to hold it in the middle of a prune."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from graves import erase, set_state, state_key
from interleaving import Meanwhile
from timed import GRACE, TimedWorld
from worlds import NAME, RAW_NAME, manifest_key

from metamlflow.errors import ArtifactNotFoundError, ArtifactPrunedError, InvalidInputError, StoreNotFoundError
from metamlflow.testing import FaultyBackend, MemoryBackend, client_on


@pytest.fixture
def five() -> TimedWorld:
    return TimedWorld(5)


def refs(decisions) -> list[int]:
    return [decision.version for decision in decisions]


def reasons(report) -> dict[int, str]:
    return {decision.version: decision.reason for decision in report.kept}


def test_a_pruned_version_is_refused_with_when_by_whom_why_and_until_when_it_can_be_restored(five, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    five.timed().prune(NAME, versions=[2], note="mislabelled")
    with pytest.raises(ArtifactPrunedError) as caught:
        five.timed().get_artifact(NAME, 2)
    error = caught.value
    assert (error.pruned_at, error.pruned_by, error.reason) == (five.now, "ada", "mislabelled")
    assert error.restorable_until == five.now + GRACE / 2
    assert error.message == f"{NAME}@2 was pruned on 2031-01-01 00:00 UTC by ada (mislabelled): its bytes are given up"
    assert f'client.restore("{NAME}@2")` brings it back until 2031-01-04 12:00 UTC' in error.hint
    five.let_pass(GRACE / 2)
    with pytest.raises(ArtifactPrunedError) as caught:
        five.timed().get_artifact(NAME, 2)
    assert "It could be restored until 2031-01-04 12:00 UTC" in caught.value.hint
    assert "register its files again" in caught.value.hint


def test_nothing_is_deleted_and_one_record_is_written_that_names_its_manifest(five):
    before = five.objects()
    report = five.timed().prune(NAME, versions=2)
    new = {key: data for key, data in five.objects().items() if key not in before}
    assert list(new) == [state_key(2, 1)]
    record = json.loads(new[state_key(2, 1)])
    assert record["state"] == "pruned"
    assert record["note"] == "versions=2"
    assert five.objects().items() >= before.items()
    (pruned,) = report.pruned
    assert (pruned.ref, pruned.bytes, pruned.restorable_until) == (f"{NAME}@2", 9, five.now + GRACE / 2)


@pytest.mark.parametrize(
    ("rules", "pruned"),
    [
        ({"keep_last": 2}, [1, 2, 3]),
        ({"keep_last": 1}, [1, 2, 3, 4]),
        ({"keep_last": 9}, []),
        ({"versions": [1, 3]}, [1, 3]),
        ({"versions": [5]}, []),
        ({"where": "metadata.accuracy < 0.25"}, [1, 2]),
        ({"where": "metadata.accuracy > 0.25"}, [3, 4]),
        ({"where": "not metadata.accurracy > 0.25"}, []),
        ({"where": "metadata.accuracy < '0.25'"}, []),
        ({"where": "metadata.accuracy < 0.35", "keep_last": 3}, [1, 2]),
        ({"where": "metadata.accuracy < 0.35", "versions": [3, 4]}, [3]),
        ({"older_than": timedelta(days=1)}, []),
    ],
    ids=str,
)
def test_a_version_goes_only_if_all_rules_agree_and_the_newest_never_does(five, rules, pruned):
    plan = five.timed().prune(NAME, **rules, dry_run=True)
    assert refs(plan.pruned) == pruned
    assert five.live() == [1, 2, 3, 4, 5]
    report = five.timed().prune(NAME, **rules)
    assert refs(report.pruned) == pruned
    assert five.live() == [version for version in range(1, 6) if version not in pruned]
    again = five.timed().prune(NAME, **rules)
    assert not set(refs(again.pruned)) & set(pruned)


def test_age_is_that_of_the_manifest_by_the_storages_clock(five):
    five.let_pass(timedelta(days=89))
    client = five.timed()
    client.register_artifact(NAME, b"new")
    five.let_pass(timedelta(days=1))
    assert refs(client.prune(NAME, older_than=timedelta(days=90)).pruned) == []
    five.let_pass(timedelta(seconds=1))
    report = client.prune(NAME, older_than=timedelta(days=90), keep_last=3)
    assert refs(report.pruned) == [1, 2, 3]
    assert reasons(report)[4] == "it is among the newest 3 (keep_last)"


def test_a_missing_field_and_another_type_are_reasons_to_keep(five):
    kept = reasons(five.timed().prune(NAME, where="metadata.loss < 1"))
    assert kept[1] == "it has no metadata.loss (where)"
    kept = reasons(five.timed().prune(NAME, where="metadata.accuracy == 'low'"))
    assert kept[1] == "metadata.accuracy: a number is compared with a text (where)"


# --- what holds a version ---------------------------------------------------------------------------------------------


def test_aliases_protections_and_live_consumers_hold_a_version(five):
    client = five.timed()
    client.set_alias(NAME, "best", 1)
    client.protect(f"{NAME}@2", "audit")
    client.register_artifact("model", b"m", inputs=[f"{NAME}@3"])
    kept = reasons(client.prune(NAME, keep_last=1))
    assert kept == {
        1: "the alias 'best' stands for it",
        2: "it is protected",
        3: "model@1 is live and was made from it",
        5: "it is the newest live version",
    }
    report = client.prune(NAME, keep_last=1, even_if_used=True)
    assert refs(report.pruned) == [3]
    assert five.live() == [1, 2, 5]


def test_a_consumer_that_is_pruned_or_erased_or_never_was_holds_nothing(five):
    client = five.timed()
    for content in (b"1", b"2", b"3"):
        client.register_artifact("model", content, inputs=[f"{NAME}@2"] if content != b"3" else [])
    set_state(five, 1, 1, "pruned", manifest=five.objects()[manifest_key(1, "model")])
    assert "model@" in reasons(client.prune(NAME, versions=[2]))[2]
    client.prune("model", keep_last=1)
    five.write(f"edges/{RAW_NAME}/_v2/model@9", b'{"format":1}\n')
    assert refs(client.prune(NAME, versions=[2]).pruned) == [2]


def test_a_consumer_that_cannot_be_read_holds_what_it_may_be_made_from(five):
    client = five.timed()
    client.register_artifact("model", b"m", inputs=[f"{NAME}@2"])
    five.write(manifest_key(1, "model"), b"{")
    assert reasons(five.timed().prune(NAME, versions=[2]))[2].startswith("model@1 may be made from it, and cannot")
    assert five.states(2) == []


def test_an_alias_and_a_protection_are_never_overridden(five):
    client = five.timed()
    client.set_alias(NAME, "best", 1)
    client.protect(f"{NAME}@2")
    assert refs(client.prune(NAME, versions=[1, 2], even_if_used=True).pruned) == []


# --- what is asked of no name -----------------------------------------------------------------------------------------


def test_without_a_rule_nothing_is_pruned_and_the_error_says_what_to_give(five):
    before = five.objects()
    with pytest.raises(InvalidInputError, match="no rule") as caught:
        five.timed().prune("**")
    assert "dry_run=True" in caught.value.hint
    assert five.objects() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_last": 0},
        {"keep_last": True},
        {"keep_last": 1.5},
        {"older_than": 90},
        {"older_than": timedelta(0)},
        {"older_than": -timedelta(days=1)},
        {"where": "metadata.accuracy <"},
        {"where": 5},
        {"versions": []},
        {"versions": [0]},
        {"versions": ["3"]},
        {"versions": "3"},
        {"keep_last": 1, "note": "x" * 5_001},
        {"keep_last": 1, "note": ""},
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused_before_anything_is_asked_for(five, wrong):
    backend = FaultyBackend(five.backend())
    with pytest.raises(InvalidInputError):
        five.timed(backend).prune(NAME, **wrong)
    assert backend.calls == []


def test_versions_are_those_of_one_name(five):
    for names in ("team/*", [NAME, "other"]):
        with pytest.raises(InvalidInputError, match="not of one name"):
            five.timed().prune(names, versions=[1])


def test_a_name_or_a_version_that_does_not_exist_is_told_and_nothing_is_pruned(five):
    for names, rules in ((["team/Modell"], {"keep_last": 1}), ([NAME], {"versions": [1, 9]})):
        with pytest.raises(ArtifactNotFoundError):
            five.timed().prune([NAME, *names] if "versions" not in rules else names, **rules)
    assert five.live() == [1, 2, 3, 4, 5]


def test_where_there_is_no_store_none_is_made():
    backend = MemoryBackend()
    for call in (lambda c: c.prune("a", keep_last=1), lambda c: c.restore("a@1"), lambda c: c.protect("a@1")):
        with pytest.raises(StoreNotFoundError):
            call(client_on(backend))
    assert backend.bucket.objects == {}


def test_patterns_span_segments_only_if_they_say_so_and_hidden_names_are_included(five):
    client = five.timed()
    for name in ("team/a", "team/a/b", "other"):
        for content in (b"1", b"2"):
            client.register_artifact(name, content)
    five.write("names/team/a!/9999999998.json", b"{}")
    five.write("names/team/never.json", b"{}")
    plan = client.prune("team/*", keep_last=1, dry_run=True)
    assert {decision.name for decision in plan.pruned} == {NAME, "team/a"}
    plan = client.prune(["team/**"], keep_last=1, dry_run=True)
    assert {decision.name for decision in plan.pruned} == {NAME, "team/a", "team/a/b"}
    assert refs(client.prune("nobody/*", keep_last=1).pruned) == []


# --- states of other manifests, absent and erased versions ------------------------------------------------------------


def test_a_state_of_another_manifest_hides_nothing_and_is_stepped_over(five):
    set_state(five, 2, 1, "absent", manifest=b"another")
    report = five.timed().prune(NAME, versions=[2])
    assert refs(report.pruned) == [2]
    assert five.states(2) == ["absent", "restored", "pruned"]
    with pytest.raises(ArtifactPrunedError):
        five.timed().get_artifact(NAME, 2)


def test_what_is_gone_already_is_told_and_never_pruned_again(five):
    set_state(five, 1, 1, "pruned")
    set_state(five, 2, 1, "absent")
    erase(five, 3)
    before = five.objects()
    report = five.timed().prune(NAME, versions=[1, 2, 3])
    assert refs(report.gone) == [1, 2, 3]
    assert [text.partition(" was ")[2][:6] for text in (d.reason for d in report.gone)] == [
        "pruned",
        "left o",
        "erased",
    ]
    assert report.ok
    assert five.objects() == before
    assert refs(five.timed().prune(NAME, keep_last=1).pruned) == [4]


# --- what comes to hold it meanwhile ----------------------------------------------------------------------------------

MEANWHILE = {
    "an alias": lambda client: client.set_alias(NAME, "best", 2),
    "a protection": lambda client: client.protect(f"{NAME}@2"),
    "a consumer": lambda client: client.register_artifact("model", b"m", inputs=[f"{NAME}@2"]),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_comes_between_the_look_and_the_record_has_the_version_restored(five, what):
    fault = Meanwhile(verb="create", key="*.state-*", happens=lambda: MEANWHILE[what](five.timed()))
    report = five.timed(FaultyBackend(five.backend(), [fault])).prune(NAME, versions=[2])
    assert refs(report.pruned) == []
    assert "by now, so it was restored" in reasons(report)[2]
    assert five.states(2) == ["pruned", "restored"]
    assert five.timed().get_artifact(NAME, 2).read_bytes() == b"version 2"


def test_a_policy_never_leaves_fewer_than_it_says_although_somebody_prunes_by_hand(five):
    def by_hand() -> None:
        five.timed().prune(NAME, versions=[4])

    fault = Meanwhile(verb="create", key=state_key(2, 1), happens=by_hand)
    report = five.timed(FaultyBackend(five.backend(), [fault])).prune(NAME, keep_last=3)
    assert five.live() == [2, 3, 5]
    assert refs(report.pruned) == [1]
    assert reasons(report)[2] == "it is among the newest 3 (keep_last) by now, so it was restored"


def test_two_who_prune_at_once_leave_what_both_would_leave(five):
    fault = Meanwhile(verb="create", key=state_key(1, 1), happens=lambda: five.timed().prune(NAME, keep_last=2))
    report = five.timed(FaultyBackend(five.backend(), [fault])).prune(NAME, keep_last=2)
    assert five.live() == [4, 5]
    assert refs(report.gone) == [1, 2, 3]
    assert report.ok


def test_an_undoing_that_comes_too_late_leaves_it_pruned_and_names_the_alias(five):
    def pause() -> None:
        five.let_pass(GRACE / 2, counted=False)

    faults = [
        Meanwhile(verb="create", key="*.state-*", happens=lambda: five.timed().set_alias(NAME, "best", 2)),
        Meanwhile(verb="list_objects", key="*/_aliases/", nth=2, happens=pause),
    ]
    report = five.timed(FaultyBackend(five.backend(), faults)).prune(NAME, versions=[2])
    assert not report.ok
    (failed,) = report.failed
    assert "stays pruned, although the alias 'best' stands for it" in failed.reason
    assert five.states(2) == ["pruned"]
    again = five.timed().prune(NAME, keep_last=4)
    assert f"{NAME}@2 is not live, and yet the alias 'best' stands for it" in again.warnings[0]


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["missing", "shortened", "manifest of a candidate", "manifest of the newest"])
def test_where_damage_is_met_nothing_at_all_is_pruned(five, damage):
    client = five.timed()
    for content in (b"1", b"2"):
        client.register_artifact("other", content)
    blob = five.manifest(5)["entries"][0]["key"]
    if damage == "missing":
        five.remove(blob)
    elif damage == "shortened":
        five.write(blob, b"vers")
    else:
        five.write(manifest_key(2 if "candidate" in damage else 5), b"{")
    before = five.objects()
    for dry_run in (True, False):
        report = five.timed().prune("**", keep_last=1, dry_run=dry_run)
        assert not report.ok
        assert refs(report.damaged) == [2 if "candidate" in damage else 5]
        assert report.pruned == []
        assert ("other", 1) in {(decision.name, decision.version) for decision in report.kept}
    assert five.objects() == before


def test_a_dry_run_writes_nothing_and_not_even_a_probe(five):
    backend = FaultyBackend(five.backend())
    report = five.timed(backend).prune("**", keep_last=1, dry_run=True)
    assert len(report.pruned) == 4
    assert {call.verb for call in backend.calls} <= {"read", "stat", "list_objects"}


def test_a_name_that_fails_does_not_stop_the_others(five):
    from metamlflow.errors import AccessDeniedError
    from metamlflow.testing import FailBefore

    client = five.timed()
    for content in (b"1", b"2"):
        client.register_artifact("other", content)
    denied = FailBefore(
        verb="create", key=f"*{RAW_NAME}*.state-*", times=None, error=lambda where: AccessDeniedError("no")
    )
    report = five.timed(FaultyBackend(five.backend(), [denied])).prune("**", keep_last=1)
    assert [decision.ref for decision in report.pruned] == ["other@1"]
    assert [decision.ref for decision in report.failed] == [f"{NAME}@1"]
    assert five.live() == [1, 2, 3, 4, 5]
