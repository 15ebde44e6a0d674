"""A store with something of everything, and another place; folders are compared past the code under test."""

from __future__ import annotations

from pathlib import Path

from metamlflow import MetaMLFlowClient, Pointer

MANY = 4_200  # more than a manifest lists itself


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below a store, but for its marker and its cache."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {
        key: path.read_bytes()
        for key, path in found.items()
        if key != "metamlflow.json" and not key.startswith(("cache/", ".tmp/"))
    }


def assert_same(here: Path, there: Path) -> None:
    ours, theirs = files_of(here), files_of(there)
    assert sorted(ours) == sorted(theirs)
    assert [key for key in ours if ours[key] != theirs[key]] == []


def fill(client: MetaMLFlowClient, folder: Path, many_files: int = MANY) -> None:
    """Register folders, empty files, odd and upper-case names, pointers, runs, aliases, shards, a large file."""
    data = folder / "data"
    (data / "sub").mkdir(parents=True)
    (data / "empty").mkdir()
    (data / "ü b.csv").write_text("a,b\n1,2\n")
    (data / "sub/none").write_bytes(b"")
    (data / "large.bin").write_bytes(bytes(range(256)) * 12_000)
    many = folder / "many"
    many.mkdir()
    for number in range(many_files):
        (many / f"{number:05}").write_bytes(b"%d" % (number % 7))
    client.register_artifact("Raw/Data", data, "dataset", {"Größe": [1, 2.5, None]})
    client.register_artifact("many", many)
    client.register_pointer("lake", data, evidence="full")
    client.register_artifact("mixed", {"own": b"1", "theirs": Pointer(data / "ü b.csv")})
    with client.run("train", params={"rate": 0.1}) as run:
        client.get_artifact("Raw/Data").read_bytes("ü b.csv")
        client.register_artifact("a.json/model", b"weights", idempotency_key="job 1")
        run.log_metrics(loss=0.5)
    client.register_artifact("a.json/model", b"more weights")
    client.set_alias("a.json/model", "Best", 1)
    client.set_alias("a.json/model", "Best", 2)
