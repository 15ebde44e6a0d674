"""Publishes of every kind, each with the world that it starts from: what crash and fault enumerations run through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worlds import NAME, World

FOLDER = {"a.csv": b"x\n1\n", "b/c.bin": b"\0" * 3000, "b/d.txt": b"text", "z.csv": b"x\n1\n"}


@dataclass(frozen=True)
class Scenario:
    """A publish, and what was there before.

    Attributes:
        prepare: brings about the world that it starts from.
        files: the new content by path; a single one under the default name of bytes is a one-file artifact.
        options: of register_artifact.
        before: how many versions there are before.
        makes: how many versions it makes.
        shards_from: the number of files from which on the list of them is sharded, if not the usual one.
    """

    prepare: Callable[[World], Any]
    files: Mapping[str, bytes]
    options: Mapping[str, Any] = field(default_factory=dict)
    before: int = 0
    makes: int = 1
    shards_from: int | None = None

    def source(self, folder: Path) -> str:
        """Write the content to files, outside of the store; return what to register."""
        for path, data in self.files.items():
            file = folder / "source" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return str(folder / "source" / "Model" if list(self.files) == ["Model"] else folder / "source")

    def publish(self, client: Any, source: str) -> Any:
        return client.register_artifact(NAME, source, metadata={"by": "test"}, **self.options)

    @property
    def is_idempotent(self) -> bool:
        return bool(self.options)


def _nothing(_: World) -> None: ...


def _one_version(world: World) -> None:
    world.client().register_artifact(NAME, b"the first content")


def _the_same_folder(world: World) -> None:
    # As the scenario registers it, but for the client: so that there is something to reuse.
    world.client().register_artifact(NAME, dict(FOLDER), metadata={"by": "test"})


SCENARIOS = {
    "first-version-in-a-new-store": Scenario(_nothing, {"Model": b"content"}),
    "first-version-in-a-new-store-with-a-key": Scenario(_nothing, {"Model": b"content"}, {"idempotency_key": "job"}),
    "next-version": Scenario(_one_version, {"Model": b"content"}, before=1),
    "next-version-with-a-key": Scenario(_one_version, {"Model": b"content"}, {"idempotency_key": "job"}, before=1),
    "folder": Scenario(_one_version, FOLDER, before=1),
    "sharded-folder-with-a-key": Scenario(_one_version, FOLDER, {"idempotency_key": "job"}, before=1, shards_from=2),
    "reuse-of-changed-content": Scenario(_one_version, {"Model": b"content"}, {"if_unchanged": "reuse"}, before=1),
    "reuse-of-unchanged-content": Scenario(
        _the_same_folder, FOLDER, {"if_unchanged": "reuse", "idempotency_key": "job"}, before=1, makes=0
    ),
}
