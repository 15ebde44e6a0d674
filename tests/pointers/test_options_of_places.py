"""The options of a place hold for every way to it: registered by its URL, in a list or a mapping, or pointed to."""

from __future__ import annotations

import json
import zipfile

import pytest
from test_web_bounds import Redirecting
from test_web_pointers import KINDS, served

from metamlflow import MetaMLFlowClient, Pointer
from metamlflow.data import Dataset
from metamlflow.errors import InvalidInputError, MetaMLFlowError

pytest.importorskip("aiohttp")

TABLE = b"a\n1\n"


class Guarded(Redirecting):
    """A server that gives nothing without the key."""

    def answer(self, handler):
        if handler.headers.get("X-Key") != "HUSH":
            self.asked.append((handler.command, handler.path, dict(handler.headers)))
            return 403, {}, b"no"
        return super().answer(handler)


def running(kind):
    site = kind(knows=KINDS["with all"])
    with served(site) as url:
        site.url = url
        yield site


@pytest.fixture
def guarded(tmp_path):
    for site in running(Guarded):
        site.files["/t.csv"] = TABLE
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
            out.writestr("t.csv", TABLE)
        site.files["/x.zip"] = (tmp_path / "x.zip").read_bytes()
        yield site


@pytest.fixture
def other():
    yield from running(Redirecting)


WAYS = {
    "a URL": lambda client, url: client.register_artifact("a", f"{url}/t.csv"),
    "a list": lambda client, url: client.register_artifact("a", [f"{url}/t.csv"]),
    "a mapping": lambda client, url: client.register_artifact("a", {"t.csv": f"{url}/t.csv"}),
    "an archive": lambda client, url: client.register_artifact("a", f"zip://t.csv::{url}/x.zip"),
    "a dataset": lambda client, url: Dataset.register(client, "a", f"{url}/t.csv").artifact,
    "a dataset of several": lambda client, url: Dataset.register(client, "a", {"t.csv": f"{url}/t.csv"}).artifact,
    "a pointer": lambda client, url: client.register_pointer("a", f"{url}/t.csv"),
    "a pointer in a mapping": lambda client, url: client.register_artifact("a", {"t.csv": Pointer(f"{url}/t.csv")}),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_source_options_hold_for_every_way_to_register(store_folder, guarded, monkeypatch, way, given):
    policy = {guarded.url: "allow"}
    with pytest.raises(MetaMLFlowError):
        way(MetaMLFlowClient(store_folder, pointer_policy=policy), guarded.url)
    options = {f"{guarded.url}/": {"headers": {"X-Key": "HUSH"}}}
    if given == "environment":
        monkeypatch.setenv("METAMLFLOW_SOURCE_OPTIONS", json.dumps(options))
        options = None
    artifact = way(MetaMLFlowClient(store_folder, pointer_policy=policy, source_options=options), guarded.url)
    assert artifact.read_bytes(next(iter(artifact.entries)).path) == TABLE


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_option_that_nobody_knows_is_named_and_not_taken_for_a_fault_of_the_network(store_folder, guarded, way):
    options = {f"{guarded.url}/": {"haeders": {"X-Key": "HUSH"}}}
    client = MetaMLFlowClient(store_folder, pointer_policy={guarded.url: "allow"}, source_options=options)
    with pytest.raises(InvalidInputError, match="haeders") as caught:
        way(client, guarded.url)
    assert "network" not in str(caught.value)
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize("way", [way for name, way in WAYS.items() if "pointer" not in name])
def test_credentials_of_a_copy_do_not_go_along_with_a_redirect(store_folder, guarded, other, way):
    other.files |= guarded.files
    guarded.to |= {path: f"{other.url}{path}" for path in guarded.files}
    options = {f"{guarded.url}/": {"headers": {"X-Key": "HUSH"}}}
    way(MetaMLFlowClient(store_folder, source_options=options), guarded.url)
    assert other.asked
    assert "HUSH" not in json.dumps(other.asked)


def test_what_the_user_names_to_be_stored_needs_no_policy(store_folder, other):
    other.files["/t.csv"] = TABLE
    assert MetaMLFlowClient(store_folder).register_artifact("a", f"{other.url}/t.csv").read_bytes() == TABLE
