"""A destination that others can write to: what they put there during a download leads nothing outside, or away."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from metamlflow.errors import MetaMLFlowError

CONTENT = {"a.txt": b"1", "dir/b.txt": b"2", "dir/deep/c.txt": b"3", "z.txt": b"4"}
HIDDEN = ".metamlflow-download-"


@pytest.fixture
def artifact(client):
    return client.register_artifact("a", CONTENT)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/b.txt").write_bytes(b"theirs")
    (tmp_path / "outside/0").write_bytes(b"theirs")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def outside(out: Path) -> dict[str, bytes]:
    folder = out.parent / "outside"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def staging(out: Path) -> Path:
    (found,) = out.glob(f"{HIDDEN}*")
    return found


def link_a_folder(out):
    (out / "dir").symlink_to("../outside")


def link_a_deep_folder(out):
    (out / "dir").mkdir()
    (out / "dir/deep").symlink_to("../../outside")


def link_a_file(out):
    (out / "dir").mkdir()
    (out / "dir/b.txt").symlink_to("../../outside/b.txt")


def link_the_staging_folder(out):
    name = staging(out).name
    staging(out).rename(out / "moved")
    (out / name).symlink_to("../outside")


def replace_the_staging_folder(out):
    name = staging(out).name
    staging(out).rename(out / "moved")
    (out.parent / "outside").rename(out / name)
    (out.parent / "outside").symlink_to(out / name)


def replace_the_destination(out):
    out.rename(out.with_name("moved"))
    out.symlink_to("outside")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "intrusion",
    [
        link_a_folder,
        link_a_deep_folder,
        link_a_file,
        link_the_staging_folder,
        replace_the_staging_folder,
        replace_the_destination,
    ],
)
def test_what_is_put_there_while_the_download_runs_leads_nothing_outside(artifact, out, intrusion, overwrite):
    before = outside(out)
    done = []

    def intrude(progress):
        if progress.files == 2 and not done:
            done.append(intrusion(out))

    with suppress(MetaMLFlowError):
        artifact.download(out, overwrite=overwrite, progress=intrude)
    assert done
    assert outside(out) == before


# --- folders that are called like ours --------------------------------------------------------------------------------


def test_folders_of_the_user_that_are_called_like_a_download_are_left_alone(artifact, out):
    names = [f"{HIDDEN}mine", HIDDEN + "0" * 32, HIDDEN + "1" * 32]
    for name in names:
        (out / name / "sub").mkdir(parents=True)
        (out / name / "sub/thesis.tex").write_bytes(b"mine")
    (out / names[2] / ".metamlflow-staging").write_text(
        f"A download that is under way, or that was killed: {names[2]} 1\n"
    )
    (out / (HIDDEN + "2" * 32)).symlink_to(out.parent / "outside")
    artifact.download(out)
    assert [(out / name / "sub/thesis.tex").read_bytes() for name in names] == [b"mine"] * 3
    assert outside(out) == {"b.txt": b"theirs", "0": b"theirs"}


def test_folders_that_are_called_like_a_download_are_data_like_others(client, folder):
    (folder / f"{HIDDEN}mine").mkdir()
    (folder / f"{HIDDEN}mine/x").write_bytes(b"1")
    (folder / (HIDDEN + "0" * 32)).mkdir()
    (folder / (HIDDEN + "0" * 32) / "x").write_bytes(b"1")
    found = client.register_artifact("a", folder)
    assert [entry.path for entry in found.entries] == [f"{HIDDEN}{'0' * 32}/x", f"{HIDDEN}mine/x"]


def test_an_artifact_that_brings_what_a_download_leaves_makes_nothing_vanish(client, artifact, out):
    kept = []

    def copy(progress):
        if progress.files == 1 and not kept:
            shutil.copytree(staging(out), out.parent / "kept" / staging(out).name)
            kept.append(staging(out).name)

    artifact.download(out, progress=copy)
    hostile = client.register_artifact("hostile", out.parent / "kept")
    assert {entry.path.partition("/")[0] for entry in hostile.entries} == set(kept)
    target = out.parent / "target"
    hostile.download(target)
    artifact.download(target)
    assert (target / kept[0] / ".metamlflow-staging").exists()


def test_a_download_under_way_is_neither_swept_nor_registered(client, artifact, out):
    seen = []

    def meanwhile(progress):
        if progress.files == 2 and not seen:
            seen.append(None)
            client.get_artifact("a").download(out, path="z.txt")
            seen[0] = [entry.path for entry in client.register_artifact("b", out).entries]

    artifact.download(out, progress=meanwhile, overwrite=True)
    assert seen == [["z.txt"]]
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "dir", "z.txt"]


# --- deeper than a path may be long -----------------------------------------------------------------------------------


@pytest.mark.full
def test_a_tree_deeper_than_a_path_can_name_is_downloaded_whole_and_taken_back_whole(client, out):
    path = "/".join("d" * 2000) + "/x.txt"
    artifact = client.register_artifact("deep", {path: b"deep", "y.txt": b"1"})
    try:
        artifact.download(out)
        found = subprocess.run(["find", ".", "-type", "f"], cwd=out, capture_output=True, text=True, check=True)
        assert sorted(found.stdout.split()) == sorted([f"./{path}", "./y.txt"])
        subprocess.run(["rm", "-rf", out], check=True)
        out.mkdir()

        def intrude(progress):
            if progress.files == 2:
                (out / "y.txt").write_bytes(b"theirs")

        with pytest.raises(MetaMLFlowError, match="appeared while"):
            artifact.download(out, progress=intrude)
        assert [path.name for path in out.iterdir()] == ["y.txt"]
    finally:
        subprocess.run(["rm", "-rf", out], check=True)
