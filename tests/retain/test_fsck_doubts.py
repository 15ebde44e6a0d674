"""A second look that the storage refuses ends nothing: the rest is examined, and the report tells what is not known."""

from __future__ import annotations

import pytest
from planted import PLANTS, key_of_version

from metamlflow.errors import AccessDeniedError, StorageUnavailableError
from metamlflow.store.catalog.clock import Clock
from metamlflow.testing import FaultyBackend
from metamlflow.testing.clients import client_on

MODEL = key_of_version("model", 1)


class Refusing(FaultyBackend):
    """Refuses the calls of one kind for keys with this prefix, after the first ones."""

    def __init__(self, backend, method, prefix, error, allowed):
        super().__init__(backend)
        self._refused = method, prefix
        self._error = error
        self._allowed = allowed
        self.refusals = 0

    def _check(self, method, key):
        if method == self._refused[0] and key.startswith(self._refused[1]):
            self._allowed -= 1
            if self._allowed < 0:
                self.refusals += 1
                raise self._error(f"{key}: no")

    def stat(self, key, *arguments, **more):
        self._check("stat", key)
        return super().stat(key, *arguments, **more)

    def read(self, key, *arguments, **more):
        self._check("read", key)
        return super().read(key, *arguments, **more)

    def list_objects(self, prefix="", **more):
        self._check("list_objects", prefix)
        return super().list_objects(prefix, **more)


def unlisted(planter):
    yield "distributions-missing", planter.delete(planter.only("runs/distributions/*.txt"))


def edge_of_another(planter):
    yield "edge-to-nothing", planter.write("edges/data/_v3/model@1", planter.read("edges/data/_v2/model@1"))


def signed_nothing(planter):
    key = planter.only("signatures/model/_v1/*.json")
    yield "signature-of-nothing", planter.write(key.replace("_v1", "_v9"), planter.read(key))


# What is damaged, which call is refused, and how many such calls the first look takes.
UNKNOWN = {
    "the record of a name": (PLANTS["a lost name record"], "stat", "names/second", 0),
    "a name without versions": (PLANTS["a name without a version"], "stat", "names/empty", 0),
    "the versions of a name": (PLANTS["a name without a version"], "list_objects", "artifacts/empty/", 0),
    "a list of packages": (unlisted, "stat", "runs/", 0),
    "an edge": (PLANTS["a missing edge"], "stat", "edges/", 0),
    "what an edge leads to": (edge_of_another, "read", MODEL, 1),
    "what is signed": (signed_nothing, "list_objects", key_of_version("model", 9, ""), 0),
    "what is protected": (PLANTS["a protection of nothing"], "list_objects", key_of_version("data", 77, ""), 0),
    "a state of what is protected": (
        PLANTS["a protection of a pruned version"], "read", key_of_version("old", 1, "state"), 1,
    ),
}  # fmt: skip
KNOWN = {
    "a lost version": (PLANTS["a lost version"], "list_objects", "artifacts/gone/", 0),
    "protections in order": (PLANTS["a lost protection"], "list_objects", "protections/data/_v3/", 0),
    "relocations in order": (PLANTS["a relocation that is missing"], "list_objects", "relocations/", 1),
    "who needs a blob": (PLANTS["another missing blob"], "list_objects", key_of_version("first", 2, ""), 0),
    "who needs a list of files": (
        PLANTS["a missing list of files"], "list_objects", key_of_version("wide", 1, ""), 0,
    ),
}  # fmt: skip


def examined(client, method, prefix, allowed, error):
    backend = Refusing(client._store.backend, method, prefix, error, allowed)
    report = client_on(backend, Clock(sleep=lambda _: None)).fsck()
    assert backend.refusals
    (told,) = (finding for finding in report.findings if finding.kind == "look-refused")
    assert ": no" in told.message
    assert told.severity == "fault"
    assert not told.mendable
    assert not report.ok
    return {(finding.kind, finding.key) for finding in report.findings if finding is not told}


@pytest.mark.full
@pytest.mark.parametrize("error", [AccessDeniedError, StorageUnavailableError])
@pytest.mark.parametrize(("damage", "method", "prefix", "allowed"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_a_refused_look_would_have_decided_is_not_known(client, planter, damage, method, prefix, allowed, error):
    expected = set(damage(planter))
    blob = planter.delete(planter.blob("bulk", 1))
    found = {(finding.kind, finding.key) for finding in client.fsck().findings}
    assert found == {*expected, ("blob-missing", blob)}
    assert examined(client, method, prefix, allowed, error) == {("blob-missing", blob)}


@pytest.mark.full
@pytest.mark.parametrize("error", [AccessDeniedError, StorageUnavailableError])
@pytest.mark.parametrize(("damage", "method", "prefix", "allowed"), KNOWN.values(), ids=KNOWN)
def test_what_the_first_look_showed_is_told_where_the_second_is_refused(
    client, planter, damage, method, prefix, allowed, error
):
    expected = set(damage(planter))
    blob = planter.delete(planter.blob("bulk", 1))
    assert examined(client, method, prefix, allowed, error) == {*expected, ("blob-missing", blob)}


def test_a_sound_store_takes_no_second_look_that_could_be_refused(client, planter):
    backend = Refusing(client._store.backend, "stat", "", AccessDeniedError, 1)  # the marker
    assert client_on(backend).fsck(level="stat").findings == ()
