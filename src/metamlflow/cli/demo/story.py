"""The story. Each of its claims is checked against the actual result before it is printed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from metamlflow.artifacts import Artifact, VerifyReport
from metamlflow.cli.demo.narration import Narrator
from metamlflow.cli.demo.scenes import (
    BASE_COLUMNS,
    DERIVED,
    HELD_OUT,
    LinearModel,
    from_csv,
    make_rides,
    split,
    to_csv,
    with_derived,
)
from metamlflow.client import MetaMLFlowClient
from metamlflow.errors import IntegrityError, MetaMLFlowError

DATA = "bikes/rides"
MODEL = "bikes/model"


class DemoFailedError(MetaMLFlowError):
    """A result differs from the story. This is a fault of metamlflow, or of the disk."""


class Story:
    """One run of the story, in its own folder.

    Args:
        folder: an empty folder, as an absolute path.
        narrator: prints the story.
        kept: whether the folder is kept, so that the end of the story shows commands that use it.
    """

    def __init__(self, folder: Path, narrator: Narrator, *, kept: bool) -> None:
        self._folder = folder
        self._store = folder / "store"
        self._tell = narrator
        self._kept = kept
        # Empty options, since those in the environment are meant for another store.
        self._client = MetaMLFlowClient(self._store, storage_options={})

    def play(self) -> dict[str, Any]:
        """Play all steps; return the facts as JSON values."""
        self._tell.title("metamlflow demo: data, a model, and a damaged byte")
        self._tell.say("Everything below happens now, on this machine, in the folder")
        self._tell.commands(str(self._folder))
        first = self._register_data()
        second = self._derive_feature(first)
        scores = self._train(first, second)
        self._show_store()
        self._go_back(first)
        finding = self._damage(second)
        self._next_steps()
        return {
            "folder": str(self._folder),
            "kept": self._kept,
            "artifacts": [f"{artifact.name}@{artifact.version}" for artifact in self._all_versions()],
            "r2": scores,
            "damaged_key": finding,
            "ok": True,
        }

    def _register_data(self) -> Artifact:
        rows = make_rides()
        file = self._folder / "rides.csv"
        file.write_bytes(to_csv(rows))
        artifact = self._client.register_artifact(
            DATA, file, "dataset", {"rows": len(rows), "source": "weather and till"}
        )
        self._tell.step("Register a data set")
        self._tell.say(f"rides.csv: {len(rows)} days of weather, and how many bicycles were hired on each of them.")
        self._tell.code('client = MetaMLFlowClient("file://./store")')
        self._tell.code(
            f'client.register_artifact("{DATA}", "rides.csv", "dataset", {{"rows": {len(rows)}, …}})',
        )
        self._tell.result(repr(artifact))
        self._expect(artifact.version == 1, "the first version is number 1")
        self._expect(artifact.read_bytes() == file.read_bytes(), "the stored bytes are the registered ones")
        return artifact

    def _derive_feature(self, first: Artifact) -> Artifact:
        rows = with_derived(from_csv(first.read_bytes()))
        file = self._folder / "rides.csv"
        before = first.read_bytes()
        file.write_bytes(to_csv(rows))
        metadata = first.metadata | {"derived_feature": DERIVED}
        artifact = self._client.register_artifact(DATA, file, "dataset", metadata)
        self._tell.step("Improve it, and overwrite the file without fear")
        self._tell.say(f"A new column, {DERIVED}: how far the temperature was from a pleasant 21 degrees.")
        self._tell.code(f'client.register_artifact("{DATA}", "rides.csv", "dataset", {{…}})')
        self._tell.result(repr(artifact))
        self._expect(artifact.version == first.version + 1, "the same name has the next number")
        self._expect(self._client.get_artifact(DATA, 1).read_bytes() == before, "version 1 is untouched")
        self._tell.say("Version 1 is unchanged: versions never change, whatever happens to the file.")
        return artifact

    def _train(self, first: Artifact, second: Artifact) -> dict[str, float]:
        fitting, held_out = split(from_csv(first.read_bytes()))
        plain = LinearModel.fit(fitting, BASE_COLUMNS).r2(held_out)
        fitting, held_out = split(from_csv(second.read_bytes()))
        model = LinearModel.fit(fitting, (*BASE_COLUMNS, DERIVED))
        better = model.r2(held_out)
        self._expect(better > plain, "the new feature makes the better model")
        file = self._folder / "model.json"
        file.write_text(json.dumps(model.to_json()), encoding="utf-8")
        source = {"training_data_artifact_name": second.name, "training_data_version": second.version}
        artifact = self._client.register_artifact(MODEL, file, "model", source | {"r2_held_out": better})
        self._tell.step("Train a model on data from the store, and register it")
        self._tell.say(
            f"Least squares on {len(fitting)} days, judged by R² on the {HELD_OUT} days that it has not seen:"
        )
        self._tell.result(f"columns of version 1   R² = {plain:.3f}", f"with {DERIVED}        R² = {better:.3f}")
        self._tell.code(
            f'client.register_artifact("{MODEL}", "model.json", "model", {{',
            *(f'    "{key}": {json.dumps(value)},' for key, value in artifact.metadata.items()),
            "})",
        )
        self._tell.result(repr(artifact))
        self._prove_origin(better)
        return {"version_1": plain, "version_2": better}

    def _prove_origin(self, score: float) -> None:
        """Load the model and the data that it names from the store, and compute the score again."""
        stored = self._client.get_artifact(MODEL)
        metadata = stored.metadata
        data = self._client.get_artifact(metadata["training_data_artifact_name"], metadata["training_data_version"])
        model = LinearModel.from_json(json.loads(stored.read_bytes()))
        again = model.r2(split(from_csv(data.read_bytes()))[1])
        self._expect(again == score == metadata["r2_held_out"], "the score can be reproduced from the store")
        self._tell.say(
            f"Its metadata names its data, {data.name}@{data.version}. Read back from there, model and data give "
            f"R² = {again:.3f} again, to the last bit."
        )

    def _show_store(self) -> None:
        self._tell.step("Look at the files of the store")
        self._tell.say("A store is nothing but files (or objects in a bucket), each created once:")
        self._tell.tree(self._store, self._labels())

    def _labels(self) -> dict[str, str]:
        labels = {
            "metamlflow.json": "says that this is a store",
            "blobs": "content, named by its own SHA-256",
            "names": "so that listing names is quick",
        }
        for file in self._store.rglob("*.json"):
            record = json.loads(file.read_bytes())
            if "artifact_id" in record:
                told = f"the record of {record['name']}@{record['version']}: metadata, digests"
                labels[file.relative_to(self._store).as_posix()] = told
            elif "name" in record:
                labels[file.relative_to(self._store).as_posix()] = f"the name {record['name']}"
        for artifact in self._all_versions():
            for entry in artifact.entries:
                labels[str(entry.key)] = f"{entry.path} of {artifact.name}@{artifact.version}"
        return labels

    def _go_back(self, first: Artifact) -> None:
        versions = self._client.list_artifacts(DATA)
        old = self._client.get_artifact(DATA, 1)
        self._tell.step("Go back in time")
        self._tell.code(f'client.list_artifacts("{DATA}")')
        self._tell.result(*map(repr, versions))
        self._expect([version.version for version in versions] == [1, 2], "both versions are listed")
        folder = self._folder / "from-version-1"
        file = old.download(folder)
        self._tell.code(f'client.get_artifact("{DATA}", 1).download("{folder.name}")')
        self._tell.result(str(file.relative_to(self._folder)))
        self._expect(old.metadata == first.metadata, "its metadata is unchanged")
        self._expect(file.read_bytes() == to_csv(make_rides()), "its bytes are unchanged")
        self._tell.say(f"Byte for byte the file of step 1, and so is its metadata: {old.metadata}")

    def _damage(self, artifact: Artifact) -> str:
        key = str(next(iter(artifact.entries)).key)
        blob = self._store / key
        intact, mode = blob.read_bytes(), blob.stat().st_mode
        place = len(intact) // 2
        damaged = bytearray(intact)
        damaged[place] ^= 1
        blob.chmod(0o600)  # stored content is read-only
        self._tell.step("Damage a byte behind the library's back")
        try:
            blob.write_bytes(damaged)
            self._tell.say(
                f"Byte {place:,} of {artifact.name}@{artifact.version} changes in the store, as on a failing disk:"
            )
            self._notice_damage(artifact, key)
        finally:
            blob.write_bytes(intact)
            blob.chmod(mode)
        report = artifact.verify()
        self._expect(report.ok, "all is well when the byte is put back")
        self._tell.say("The byte is put back:")
        self._tell.code("artifact.verify()")
        self._tell.result(_summary(report))
        return key

    def _notice_damage(self, artifact: Artifact, key: str) -> None:
        report = artifact.verify()
        self._expect([f.key for f in report.findings] == [key], "verify finds the damaged object, and no other")
        self._tell.code("artifact.verify()")
        self._tell.result(_summary(report))
        self._tell.code("artifact.read_bytes()")
        try:
            artifact.read_bytes()
        except IntegrityError as error:
            self._expect(error.key == key, "the error names the damaged object")
            self._tell.result(f"{type(error).__name__}: {error.path} differs from its registration", f"  {error.key}")
            self._tell.say("Not one wrong byte was returned.")
        else:
            raise DemoFailedError("the demo expected an error for damaged content, and got the content")

    def _next_steps(self) -> None:
        self._tell.step("Your turn")
        if self._kept:
            store = shlex.quote(str(self._store))
            self._tell.commands(f"metamlflow show {MODEL} --store {store}", f"metamlflow verify --all --store {store}")
        else:
            self._tell.say("The folder is gone when this ends; `metamlflow demo FOLDER` keeps it. With your own data:")
            self._tell.commands(
                "export METAMLFLOW_STORAGE_URI=file://$HOME/store",
                "metamlflow register my/data data.csv --type dataset --meta owner=me",
                "metamlflow ls",
            )
        self._tell.say("In Python: from metamlflow import MetaMLFlowClient. Every command explains itself with --help.")

    def _all_versions(self) -> list[Artifact]:
        latest = self._client.list_artifacts()
        return [version for artifact in latest for version in self._client.list_artifacts(artifact.name)]

    def _expect(self, truth: bool, claim: str) -> None:  # noqa: FBT001 (reads as a sentence)
        if not truth:
            raise DemoFailedError(
                f"the demo expected that {claim}, and it was not so",
                hint="Please report this, with the kind of disk that the folder is on.",
            )


def _summary(report: VerifyReport) -> str:
    reference = f"{report.name}@{report.version}"
    if report.ok:
        return f"{reference}: ok, {report.bytes:,} bytes read"
    return "\n       ".join(f"{reference}: {f.path} is {f.status}\n         {f.key}" for f in report.findings)
