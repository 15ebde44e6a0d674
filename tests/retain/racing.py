"""One process of a race on one store: ``python racing.py URL OPTIONS ROLE SECONDS``; prints what it was told as JSON.

A publisher registers content that others gave up; a pruner gives versions up, by hand or by a rule; a collector
collects. Others name, protect, restore and erase versions, or bring all to a second store beside the first.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import (
    AlreadyExistsError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    ConflictError,
    IntegrityError,
    MetaMLFlowError,
)
from metamlflow.format.layout import state_key
from metamlflow.format.records import encode_state
from metamlflow.model.names import ArtifactName

NAMES = ("a", "b")
CONTENTS = [b"content %d" % number for number in range(6)]


def main(url: str, options: str, role: str, seconds: str) -> None:
    OPTIONS.update(json.loads(options))
    client = MetaMLFlowClient(url, storage_options=dict(OPTIONS))
    random.seed(role)
    until, told = time.monotonic() + float(seconds), []
    step: Callable[[MetaMLFlowClient], Any] = ROLES[role.partition("-")[0]]
    while time.monotonic() < until:
        told += step(client)
    print(json.dumps(told))


def publish(client: MetaMLFlowClient) -> list[Any]:
    chosen = random.sample(CONTENTS, 3)
    name = random.choice(NAMES)
    artifact = client.register_artifact(name, {f"f{place}": content for place, content in enumerate(chosen)})
    time.sleep(random.uniform(0, 0.3))
    return [[name, artifact.version, [content.decode() for content in chosen]]]


def prune(client: MetaMLFlowClient) -> list[Any]:
    time.sleep(random.uniform(0, 0.4))
    name = random.choice(NAMES)
    try:
        versions = client.list_versions(name)
        for version in versions[:-1]:
            digest = client.get_artifact(name, version).manifest_digest
            record = encode_state("pruned", digest, client._store.clock.new_id(), client._store.clock.now())
            client._store.backend.create(state_key(ArtifactName(name), version, 1), record)
    except (AlreadyExistsError, LookupError):
        pass
    return []


def collect(client: MetaMLFlowClient) -> list[Any]:
    time.sleep(random.uniform(0, 0.5))
    try:
        report = client.collect_garbage(unsafe=True)
    except ConflictError:
        return [["conflict", 0, 0]]
    except MetaMLFlowError as error:
        return [[f"{type(error).__name__}: {error}", 0, 0]]
    assert not report.failures, report.failed
    return [["deleted", report.deleted, report.left]]


REFUSED = (ArtifactPrunedError, ArtifactErasedError, ArtifactNotFoundError, ConflictError)


def some_version(client: MetaMLFlowClient, *, below_newest: int = 0) -> tuple[str, int]:
    """A version of any state, often one of the newest."""
    time.sleep(random.uniform(0, 0.3))
    name = random.choice(NAMES)
    try:
        newest = max(client.list_versions(name), default=1)
    except ArtifactNotFoundError:
        newest = 1
    return name, max(1, newest - below_newest - int(random.expovariate(0.25)))


def name_versions(client: MetaMLFlowClient) -> list[Any]:
    name, version = some_version(client)
    try:
        return [["alias", name, client.set_alias(name, "best", version).number, version]]
    except REFUSED:
        return []


def protect(client: MetaMLFlowClient) -> list[Any]:
    name, version = some_version(client)
    try:
        client.protect(f"{name}@{version}")
        time.sleep(random.uniform(0, 0.5))
        client.unprotect(f"{name}@{version}")
    except REFUSED:
        return []
    return [["protected", name, version]]


def give_up(client: MetaMLFlowClient) -> list[Any]:
    time.sleep(random.uniform(0, 0.5))
    try:
        report = client.prune(random.choice(NAMES), keep_last=2)
    except ArtifactNotFoundError:  # before its first version
        return []
    # Under such a grace the newest version may be pruned and collected while it is looked at.
    return [["pruned", decision.name, decision.version] for decision in report.pruned]


def restore(client: MetaMLFlowClient) -> list[Any]:
    name, newest = some_version(client, below_newest=1)
    for version in range(newest, max(0, newest - 8), -1):  # most are live, or were given up too long ago
        with suppress(*REFUSED):
            client.restore(f"{name}@{version}")
            return [["restored", name, version]]
    return []


def erase(client: MetaMLFlowClient) -> list[Any]:
    name, newest = some_version(client)
    version = random.randint(1, newest)
    try:
        report = client.erase(f"{name}@{version}", "asked for")
    except REFUSED:
        return []
    return [["erased", name, version]] if report.ok else []


def bring(client: MetaMLFlowClient) -> list[Any]:
    """Bring everything to the store beside this one."""
    time.sleep(random.uniform(0, 0.5))
    there = MetaMLFlowClient(f"{client.storage_uri.rstrip('/')}-copy", storage_options=OPTIONS)
    try:
        report = migrate(client, there)
    except (*REFUSED, IntegrityError):
        return []
    return [[version.status, str(version.name), version.version] for version in report.versions]


OPTIONS: dict[str, Any] = {}
ROLES: dict[str, Callable[[MetaMLFlowClient], Any]] = {
    "publish": publish,
    "prune": prune,
    "collect": collect,
    "alias": name_versions,
    "protect": protect,
    "giveup": give_up,
    "restore": restore,
    "erase": erase,
    "migrate": bring,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
