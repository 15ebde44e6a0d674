"""One process of a race on one store: ``python racing.py URL OPTIONS ROLE SECONDS``; prints what it was told as JSON.

A publisher registers content that others gave up; a pruner gives versions up, by hand; a collector collects.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AlreadyExistsError, ConflictError, MetaMLFlowError
from metamlflow.format.layout import state_key
from metamlflow.format.records import encode_state
from metamlflow.model.names import ArtifactName

NAMES = ("a", "b")
CONTENTS = [b"content %d" % number for number in range(6)]


def main(url: str, options: str, role: str, seconds: str) -> None:
    client = MetaMLFlowClient(url, storage_options=json.loads(options))
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


ROLES: dict[str, Callable[[MetaMLFlowClient], Any]] = {"publish": publish, "prune": prune, "collect": collect}

if __name__ == "__main__":
    main(*sys.argv[1:])
