"""A store against a plain dict: any sequence of publishes, crashes, damage and reads leaves the two alike."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from worlds import IMPATIENT, LocalWorld, MemoryWorld, World, assert_chained, manifests

from metamlflow.errors import ArtifactNotFoundError, IntegrityError
from metamlflow.testing import Crash, Crashed, FaultyBackend, client_on, simulated_crash

NAMES = {"a": "a", "team/B.json": "team/!b.json"}  # and how they are spelled in keys
CONTENTS = [b"", b"1", b"x\n1\n", b"\0" * 5000, b"two"]
PATHS = ["a", "b.csv", "c/d.csv.gz", "c/e"]

contents = st.sampled_from(CONTENTS)
folders = st.dictionaries(st.sampled_from(PATHS), contents, min_size=1)
names = st.sampled_from(sorted(NAMES))
keys = st.none() | st.sampled_from(["job 1", "job 2"])


@dataclass
class Version:
    """What the model knows of a version: what was registered, and under which blob key each path lies."""

    content: bytes | dict[str, bytes]
    metadata: dict[str, Any]
    blobs: dict[str, str] = field(default_factory=dict)

    def files(self, name: str) -> dict[str, bytes]:
        if isinstance(self.content, dict):
            return self.content
        return {name.rpartition("/")[2]: self.content}


class Store(RuleBasedStateMachine):
    """The rules, and the model."""

    def make_world(self) -> World:
        return MemoryWorld()

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = self.make_world()
        self.client = self.world.client()
        self.client.create_store()
        self.versions: dict[str, list[Version]] = {name: [] for name in NAMES}
        self.jobs: dict[tuple[str, str], int] = {}
        self.missing: set[str] = set()
        self.flipped: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    # --- writing ------------------------------------------------------------------------------------------------------

    @rule(name=names, content=contents | folders, label=st.sampled_from("xy"), reuse=st.booleans(), key=keys)
    def publish(self, name, content, label, reuse, key):
        wanted = Version(content, {"label": label})
        expected = self._number_to_be(name, wanted, reuse=reuse, key=key)
        artifact = self._register(self.client, name, wanted, reuse=reuse, key=key)
        assert artifact.version == expected
        self._adopt(name, wanted)
        assert len(self.versions[name]) >= expected
        if key:
            self.jobs[name, key] = expected

    @rule(
        name=names,
        content=contents | folders,
        reuse=st.booleans(),
        key=keys,
        nth=st.integers(1, 12),
        when=st.sampled_from(["before", "after"]),
    )
    def crash(self, name, content, reuse, key, nth, when):
        """A process dies at some call of a publish, unless it makes fewer; the retry of a job is up to later rules."""
        wanted = Version(content, {"label": "crash"})
        backend = FaultyBackend(self.world.backend(), [Crash(nth=nth, when=when, crash=simulated_crash)])
        with suppress(Crashed):
            self._register(client_on(backend, IMPATIENT), name, wanted, reuse=reuse, key=key)
        self._adopt(name, wanted)
        if key and (carried_out := self._version_of_claim(name, key)):
            self.jobs[name, key] = carried_out

    def _register(self, client, name, version, *, reuse, key):
        return client.register_artifact(
            name,
            version.content,
            metadata=version.metadata,
            if_unchanged="reuse" if reuse else "new_version",
            idempotency_key=key,
        )

    def _number_to_be(self, name: str, wanted: Version, *, reuse: bool, key: str | None) -> int:
        if key and (name, key) in self.jobs:
            return self.jobs[name, key]
        known = self.versions[name]
        claimed = self._newest_claim(name, key) if key else None
        # A crashed try under the key decided for a new version: its retry follows that while it can.
        is_bound = claimed is not None and claimed["version"] > len(known)
        if reuse and known and not is_bound:
            last = known[-1]
            if (last.content, last.metadata) == (wanted.content, wanted.metadata):
                return len(known)
        return len(known) + 1

    def _adopt(self, name: str, wanted: Version) -> None:
        """Take what a publish wrote into the model, after a look at it past the library."""
        objects, known = self.world.objects(), self.versions[name]
        files = wanted.files(name)
        for key in [key for key in self.missing if key in objects]:
            # Stored anew, which only a publish of this very content may do.
            assert objects[key] in files.values()
            self.missing.remove(key)
        found = assert_chained(objects, NAMES[name])
        assert len(found) - len(known) in {0, 1}
        if len(found) == len(known):
            return
        manifest = found[len(found)]
        assert {entry["path"]: entry["sha256"].removeprefix("sha256:") for entry in manifest["entries"]} == {
            path: hashlib.sha256(data).hexdigest() for path, data in files.items()
        }
        assert manifest["metadata"] == wanted.metadata
        wanted.blobs = {entry["path"]: entry["key"] for entry in manifest["entries"]}
        relied_on = known[-1].blobs.items() if known else ()
        for path, key in wanted.blobs.items():
            # A publish looks at what it puts, and not at what the last version names: that is its to trust.
            assert key in objects or (key in self.missing and (path, key) in relied_on)
        known.append(wanted)

    def _newest_claim(self, name: str, key: str) -> dict[str, Any] | None:
        prefix = f"artifacts/{NAMES[name]}/_idempotency/{hashlib.sha256(key.encode()).hexdigest()}/"
        objects = self.world.objects()
        claims = sorted(stored for stored in objects if stored.startswith(prefix))
        return json.loads(objects[claims[0]]) if claims else None

    def _version_of_claim(self, name: str, key: str) -> int | None:
        claim = self._newest_claim(name, key)
        if claim is None:
            return None
        manifest = manifests(self.world.objects(), NAMES[name]).get(claim["version"], {})
        return claim["version"] if manifest.get("record_id") == claim["record_id"] else None

    # --- damage -------------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def lose_a_blob(self, data):
        key = self._some_blob(data)
        self.world.remove(key)
        self.missing.add(key)
        self.flipped.discard(key)

    @rule(data=st.data(), at=st.integers(0, 4999))
    def flip_a_byte(self, data, at):
        key = self._some_blob(data)
        stored = bytearray(self.world.objects()[key])
        assume(stored)
        assume(key not in self.flipped)  # a second flip might mend it
        stored[at % len(stored)] ^= 1
        self.world.write(key, bytes(stored))
        self.flipped.add(key)

    def _some_blob(self, data) -> str:
        present = {key for version in self._all() for key in version.blobs.values()} - self.missing
        assume(present)
        return data.draw(st.sampled_from(sorted(present)))

    def _all(self) -> list[Version]:
        return [version for known in self.versions.values() for version in known]

    # --- reading ------------------------------------------------------------------------------------------------------

    @rule(name=names, back=st.none() | st.integers(0, 3))
    def read(self, name, back):
        """Get a version by its number, or the latest, and read each of its files."""
        number = len(self.versions[name]) - (back or 0)
        if number < 1:
            with pytest.raises(ArtifactNotFoundError):
                self.client.get_artifact(name, *([] if back is None else [len(self.versions[name]) + 1]))
            return
        version = self.versions[name][number - 1]
        artifact = self.client.get_artifact(name) if back is None else self.client.get_artifact(name, number)
        assert artifact.version == number
        assert artifact.metadata == version.metadata
        assert [entry.path for entry in artifact.entries] == sorted(version.files(name))
        for path, content in version.files(name).items():
            if version.blobs[path] in self.missing | self.flipped:
                with pytest.raises(IntegrityError):
                    artifact.read_bytes(path)
                with pytest.raises(IntegrityError), artifact.open(path) as file:
                    file.read()
            else:
                assert artifact.read_bytes(path) == content

    @rule(name=names, data=st.data())
    def verify_and_download(self, name, data):
        assume(self.versions[name])
        number = data.draw(st.integers(1, len(self.versions[name])))
        version, artifact = self.versions[name][number - 1], self.client.get_artifact(name, number)
        damage = {path for path, key in version.blobs.items() if key in self.missing | self.flipped}
        assert {finding.path for finding in artifact.verify("full").findings} == damage
        lost = {path for path, key in version.blobs.items() if key in self.missing}
        assert {finding.path for finding in artifact.verify("stat").findings} == lost
        destination = Path(tempfile.mkdtemp(dir=self.folder))
        if damage:
            with pytest.raises(IntegrityError):
                artifact.download(destination)
            assert list(destination.iterdir()) == []
        else:
            artifact.download(destination)
            there = {
                p.relative_to(destination).as_posix(): p.read_bytes() for p in destination.rglob("*") if p.is_file()
            }
            assert there == version.files(name)

    @rule()
    def list_everything(self):
        latest = {artifact.name: artifact.version for artifact in self.client.list_artifacts()}
        assert latest == {name: len(known) for name, known in self.versions.items() if known}

    # --- clients ------------------------------------------------------------------------------------------------------

    @rule()
    def use_a_new_client(self):
        self.client = self.world.client()

    @invariant()
    def every_version_is_listed_as_it_was_registered(self):
        for name, known in self.versions.items():
            if not known:
                continue
            listed = self.client.list_artifacts(name)
            assert [(artifact.version, artifact.metadata) for artifact in listed] == [
                (number, version.metadata) for number, version in enumerate(known, 1)
            ]


class LocalStore(Store):
    """The same on a disk, where clients can also be sent elsewhere."""

    def make_world(self) -> World:
        return LocalWorld(self.folder / "store")

    @rule()
    def send_the_client_to_another_process(self):
        self.client = pickle.loads(pickle.dumps(self.client))


def machine_tests(machine: type[Store], *, examples: int, steps: int) -> type:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestInMemory = machine_tests(Store, examples=40, steps=25)
TestOnDisk = pytest.mark.full(machine_tests(LocalStore, examples=20, steps=20))


def long(case: type) -> type:
    return pytest.mark.slow(pytest.mark.timeout(900)(case))


class LongStore(Store):
    """More of the same."""


class LongLocalStore(LocalStore):
    """More of the same."""


TestInMemoryForLong = long(machine_tests(LongStore, examples=300, steps=60))
TestOnDiskForLong = long(machine_tests(LongLocalStore, examples=80, steps=50))
