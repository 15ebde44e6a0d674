"""A rollback that is called again, or planned: its arguments count, and what others have noted since stays."""

from __future__ import annotations

import pytest
from graves import set_state
from interleaving import Meanwhile
from test_rolling_back import NOTE, filled
from worlds import IMPATIENT, NAME

from metamlflow.errors import AccessDeniedError, ArtifactPrunedError
from metamlflow.testing import FailBefore, FaultyBackend, client_on


@pytest.fixture
def three(world):
    return filled(world)


@pytest.mark.parametrize("key", [None, "job"])
def test_a_dry_run_tells_what_a_rollback_with_the_same_arguments_does(three, key):
    client = three.client()
    for turn in range(3):
        plan = client.rollback(NAME, 1, idempotency_key=key, dry_run=True)
        newest = client.list_versions(NAME)[-1]
        made = client.rollback(NAME, 1, idempotency_key=key)
        assert (plan.version, plan.to_version, plan.digest, plan.files) == (made.version, 1, made.digest, 5)
        assert plan.publishes is (made.version > newest) is (key is None or not turn)
        client.register_artifact(NAME, b"newer %d" % turn)
    if key is not None:
        set_state(three, 1, 1, "pruned")
        assert client.rollback(NAME, 1, idempotency_key=key, dry_run=True).version == 4
        set_state(three, 4, 1, "pruned")
        with pytest.raises(ArtifactPrunedError, match="@4 was pruned"):
            client.rollback(NAME, 1, idempotency_key=key, dry_run=True)


def test_a_dry_run_under_a_key_of_something_else_tells_that_nothing_is_published(three):
    client = three.client()
    client.register_artifact(NAME, b"other", idempotency_key="job")
    client.register_artifact(NAME, b"newer")
    plan = client.rollback(NAME, 1, idempotency_key="job", dry_run=True)
    assert (plan.version, plan.to_version, plan.publishes) == (4, 4, False)
    assert client.rollback(NAME, 1, idempotency_key="job").version == 4


@pytest.mark.parametrize("change", [{"description": "a colleague's"}, {"description": ""}], ids=["changed", "removed"])
def test_a_rollback_that_is_repeated_leaves_what_somebody_has_made_of_its_note(three, change):
    client = three.client()
    made = client.rollback(NAME, 1, note="why")
    client.annotate(f"{NAME}@4", **change)
    client.annotate(f"{NAME}@4", tags={"stage": "prod"})
    assert client.rollback(NAME, 1, note="why").version == made.version
    assert client.rollback(NAME, 1, note="another reason").version == made.version
    assert client.notes(f"{NAME}@4").description == (change["description"] or None)
    assert client.notes(f"{NAME}@4").number == 3


def test_a_rollback_that_is_repeated_adds_its_note_to_tags_and_to_no_description_that_comes_meanwhile(three):
    client = three.client()
    client.rollback(NAME, 1)
    client.annotate(f"{NAME}@4", tags={"stage": "prod"})
    late = Meanwhile(
        verb="create", key=f"{NOTE}*", nth=2, happens=lambda: client.annotate(f"{NAME}@4", description="a colleague's")
    )
    client_on(FaultyBackend(three.backend(), [late]), IMPATIENT).rollback(NAME, 1, note="why")
    assert client.notes(f"{NAME}@4").description == "a colleague's"
    client.rollback(NAME, 2)
    client.annotate(f"{NAME}@5", tags={"stage": "prod"})
    client.rollback(NAME, 2, note="why")
    notes = client.notes(f"{NAME}@5")
    assert (notes.description, dict(notes.tags)) == ("why", {"stage": "prod"})


def test_a_correction_that_is_repeated_adds_its_note_to_what_others_noted_meanwhile(three):
    denied = FailBefore(error=AccessDeniedError, verb="create", key=f"{NOTE}*", times=None)
    with pytest.raises(AccessDeniedError, match="published all the same"):
        client_on(FaultyBackend(three.backend(), [denied]), IMPATIENT).update_metadata(NAME, {"rows": 7}, note="why")
    client = three.client()
    client.annotate(f"{NAME}@4", tags={"stage": "prod"})
    assert client.update_metadata(f"{NAME}@3", {"rows": 7}, note="why").version == 4
    notes = client.notes(f"{NAME}@4")
    assert notes.description.startswith("why\n\nMetadata of ")
    assert dict(notes.tags) == {"stage": "prod"}
