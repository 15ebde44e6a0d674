"""Whoever is about to delete asks whether anything is lost already, and is refused if so."""

from __future__ import annotations

import pytest
from planted import PLANTS

from metamlflow.errors import IntegrityError
from metamlflow.model.names import ArtifactName
from metamlflow.store.retain.blob_index import listed_blobs, named_and_listed
from metamlflow.store.retain.catalogue import Catalogue, names_read
from metamlflow.store.retain.faults import faults_of_content, faults_of_name, refuse_faults
from metamlflow.store.transfer.rate_limit import RateLimit


def content_faults(store):
    with Catalogue(lambda state: state == "live") as catalogue:
        for records in names_read(store, RateLimit()):
            catalogue.add(records)
        assert not list(catalogue.read_shards(store, RateLimit()))
        return list(faults_of_content(named_and_listed(catalogue.blobs.by_key(), listed_blobs(store))))


def test_a_sound_store_is_not_refused(client, planter):
    refuse_faults([*faults_of_name(client._store, ArtifactName("data")), *content_faults(client._store)])


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        ("a lost version", "gone"),
        ("a manifest that is no JSON", "first"),
        ("an altered manifest", "third"),
        ("a damaged tomb", "old"),
        ("a damaged state", "renamed"),
    ],
)
def test_a_name_with_a_grave_fault_is_refused_and_told(client, planter, plant, name):
    ((kind, key),) = PLANTS[plant](planter)
    with pytest.raises(IntegrityError, match=kind) as caught:
        refuse_faults(faults_of_name(client._store, ArtifactName(name)))
    assert caught.value.key == key
    assert "fsck" in caught.value.hint


@pytest.mark.parametrize("plant", ["an alias to nothing", "a damaged claim", "a state of another manifest"])
def test_what_harms_no_content_keeps_nobody_from_deleting(client, planter, plant):
    list(PLANTS[plant](planter))
    for name in ("data", "fourth"):
        assert faults_of_name(client._store, ArtifactName(name)) == []


@pytest.mark.parametrize("plant", ["a missing blob", "a truncated blob", "an empty blob", "a longer blob"])
def test_content_that_is_missing_or_cut_off_is_told_from_the_listing(client, planter, plant):
    ((kind, key),) = PLANTS[plant](planter)
    assert [(fault.kind, fault.key) for fault in content_faults(client._store)] == [(kind, key)]
