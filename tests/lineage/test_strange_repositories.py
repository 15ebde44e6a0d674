"""A run in a downloaded folder: whatever lies in its .git, nothing of it is run, locked or waited for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

JOB = """
import sys
from metamlflow import MetaMLFlowClient

with MetaMLFlowClient(sys.argv[1]).run("job"):
    pass
"""


def git(folder, *arguments) -> str:
    settings = ["user.name=Ada", "user.email=ada@example.com", "init.defaultBranch=trunk", "protocol.file.allow=always"]
    options = [option for setting in settings for option in ("-c", setting)]
    done = subprocess.run(["git", *options, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository_at(folder: Path) -> Path:
    folder.mkdir()
    (folder / "job.py").write_text(JOB)
    (folder / "data.csv").write_text("as committed")
    for command in (["init"], ["add", "."], ["commit", "-m", "first"]):
        git(folder, *command)
    return folder


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return repository_at(tmp_path / "repository")


@pytest.fixture
def told(runs, store_folder):
    """Run the job in a folder, and return what its record says of git."""

    def of(folder: Path, **environment: str) -> dict | None:
        before = set(runs.ids())
        command = [shutil.which("python"), folder / "job.py", store_folder]
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, "")
        (run_id,) = set(runs.ids()) - before
        return runs.start(run_id)["code"].get("git")

    return of


@pytest.fixture
def trap(tmp_path):
    """A program that leaves a trace when it is run."""
    program, trace = tmp_path / "trap", tmp_path / "trace"
    program.write_text(f"#!/bin/sh\necho ran >> {trace}\ncat\n")
    program.chmod(0o755)
    return program


def touched(repository: Path) -> None:
    """Make git look at the content again: the file is written anew, and is the same."""
    (repository / "data.csv").write_text("as committed")
    os.utime(repository / "data.csv", (1, 1))


def set_fsmonitor(repository, trap):
    git(repository, "update-index", "--fsmonitor")
    git(repository, "config", "core.fsmonitor", trap)


def set_clean_filter(repository, trap):
    git(repository, "config", "filter.x.clean", trap)
    (repository / ".git/info/attributes").write_text("* filter=x\n")
    (repository / ".gitattributes").write_text("* filter=x\n")
    touched(repository)


def set_filter_process(repository, trap):
    git(repository, "config", "filter.x.process", trap)
    git(repository, "config", "filter.x.required", "true")
    (repository / ".gitattributes").write_text("* filter=x\n")
    touched(repository)


def set_hooks(repository, trap):
    (repository / "hooks").mkdir()
    for name in ("post-index-change", "fsmonitor-watchman", "query-watchman", "reference-transaction"):
        (repository / "hooks" / name).symlink_to(trap)
    git(repository, "config", "core.hooksPath", repository / "hooks")
    touched(repository)


def set_included(repository, trap):
    (repository / "included").write_text(f'[core]\n\tfsmonitor = "{trap}"\n[filter "x"]\n\tclean = "{trap}"\n')
    git(repository, "config", "include.path", repository / "included")
    (repository / ".gitattributes").write_text("* filter=x\n")
    touched(repository)


def set_external_programs(repository, trap):
    for name in ("diff.external", "core.pager", "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand"):
        git(repository, "config", name, trap)
    for name in ("diff.x.textconv", "diff.x.command", "gpg.program", "pager.status", "alias.status"):
        git(repository, "config", name, f"!{trap}" if name.startswith("alias") else trap)
    (repository / ".gitattributes").write_text("* diff=x\n")
    touched(repository)


def set_promisor(repository, trap):
    """Objects are missing, and a remote that is reached by a command promises them."""
    git(repository, "config", "core.repositoryFormatVersion", "1")
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.url", f"ext::{trap} %S")
    git(repository, "config", "protocol.ext.allow", "always")
    for tree in (repository / ".git/objects").glob("[0-9a-f][0-9a-f]"):
        shutil.rmtree(tree)


def set_submodule(repository, trap):
    inner = repository_at(repository.parent / "inner")
    git(repository, "submodule", "add", inner, "inner")
    git(repository, "commit", "-m", "with a submodule")
    set_fsmonitor(repository / "inner", trap)
    set_clean_filter_of = repository / ".git/modules/inner/config"
    with set_clean_filter_of.open("a") as config:
        config.write(f'[filter "x"]\n\tclean = "{trap}"\n')
    (repository / "inner/.gitattributes").write_text("* filter=x\n")
    (repository / "inner/data.csv").write_text("changed")


SETTINGS = (
    set_fsmonitor,
    set_clean_filter,
    set_filter_process,
    set_hooks,
    set_included,
    set_external_programs,
    set_promisor,
    set_submodule,
)


@pytest.mark.full
@pytest.mark.parametrize("settings", SETTINGS)
def test_no_command_of_a_repository_is_run(repository, told, trap, settings):
    settings(repository, trap)
    commit = git(repository, "-c", "core.fsmonitor=false", "rev-parse", "HEAD")
    trace = trap.with_name("trace")
    trace.unlink(missing_ok=True)
    assert told(repository)["commit"] == commit
    assert not trace.exists()


@pytest.mark.full
def test_a_file_that_a_filter_may_take_for_equal_is_neither_clean_nor_dirty(repository, told, trap):
    set_clean_filter(repository, trap)
    (repository / ".gitattributes").unlink()
    (repository / ".git/info/attributes").unlink()
    assert told(repository)["dirty"] is False, "written anew with the same content"
    (repository / ".gitattributes").write_text("*.csv filter=x\n")
    (repository / "data.csv").write_text("pointer")
    assert "dirty" not in told(repository)
    (repository / "job.py").write_text(JOB + "\n")
    assert told(repository)["dirty"] is True


def test_the_index_is_neither_locked_nor_written(repository, told):
    touched(repository)
    (repository / ".git/index.lock").touch()
    index = repository / ".git/index"

    def written():
        """All that a write would change; a read may change the time of the last access."""
        found = index.stat()
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, index.read_bytes()

    before = written()
    assert told(repository)["dirty"] is False
    assert written() == before
    assert sorted(path.name for path in (repository / ".git").glob("*.lock")) == ["index.lock"]


def test_variables_and_programs_that_depend_on_the_folder_decide_nothing(repository, told, trap, tmp_path):
    other = repository_at(tmp_path / "other")
    git(other, "commit", "--allow-empty", "-m", "another")
    (repository / "git").symlink_to(trap)
    commit = git(repository, "rev-parse", "HEAD")
    variables = {
        "GIT_DIR": str(other / ".git"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": str(trap),
        "GIT_EXTERNAL_DIFF": str(trap),
    }
    path = os.pathsep.join([".", "", os.environ["PATH"]])
    assert told(repository, PATH=path, **variables) == {"commit": commit, "branch": "trunk", "dirty": False}
    assert not trap.with_name("trace").exists()


# --- odd shapes -------------------------------------------------------------------------------------------------------


def pipe_as(name):
    def make(repository):
        (repository / ".git" / name).unlink(missing_ok=True)
        os.mkfifo(repository / ".git" / name)

    return make


def socket_as_head(repository):
    (repository / ".git/HEAD").unlink()
    before = Path.cwd()
    os.chdir(repository / ".git")  # a socket's path may have 107 bytes only
    with ExitStack() as stack:
        stack.callback(os.chdir, before)
        stack.enter_context(socket.socket(socket.AF_UNIX)).bind("HEAD")


def device_as_head(repository):
    (repository / ".git/HEAD").unlink()
    (repository / ".git/HEAD").symlink_to("/dev/zero")


def head_of_another(repository):
    other = repository_at(repository.parent / "other")
    (repository / ".git/refs/heads/trunk").unlink()
    (repository / ".git/refs/heads/trunk").symlink_to(other / ".git/refs/heads/trunk")


def head_that_leads_out(repository):
    (repository.parent / "secret").write_text("0" * 40)
    (repository / ".git/HEAD").write_text("ref: refs/../../../secret\n")


def heads_in_a_ring(repository):
    (repository / ".git/HEAD").write_text("ref: refs/heads/a\n")
    (repository / ".git/refs/heads/a").write_text("ref: refs/heads/a\n")


def huge_refs(repository):
    (repository / ".git/refs/heads/trunk").unlink()
    with (repository / ".git/packed-refs").open("wb") as refs:
        refs.truncate(1 << 40)


def huge_head(repository):
    with (repository / ".git/HEAD").open("r+b") as head:
        head.truncate(1 << 40)


def link_as_repository(repository):
    other = repository_at(repository.parent / "other")
    shutil.rmtree(repository / ".git")
    (repository / ".git").symlink_to(other / ".git")


def file_that_names_another(repository):
    other = repository_at(repository.parent / "other")
    shutil.rmtree(repository / ".git")
    (repository / ".git").write_text(f"gitdir: {other / '.git'}\n")


def file_that_shares_another(repository):
    other = repository_at(repository.parent / "other")
    shutil.rmtree(repository / ".git")
    (repository / "own").mkdir()
    (repository / "own/commondir").write_text(f"{other / '.git'}\n")
    (repository / "own/gitdir").write_text(f"{repository / '.git'}\n")
    (repository / "own/HEAD").write_text("ref: refs/heads/trunk\n")
    (repository / ".git").write_text("gitdir: own\n")


def pipe_as_repository(repository):
    shutil.rmtree(repository / ".git")
    os.mkfifo(repository / ".git")


SHAPES = {
    "a pipe as HEAD": pipe_as("HEAD"),
    "a pipe as packed refs": lambda repository: (
        (repository / ".git/refs/heads/trunk").unlink(),
        pipe_as("packed-refs")(repository),
    ),
    "a socket as HEAD": socket_as_head,
    "a device as HEAD": device_as_head,
    "a ref of another repository": head_of_another,
    "a ref outside": head_that_leads_out,
    "a ring of refs": heads_in_a_ring,
    "a terabyte of refs": huge_refs,
    "a terabyte of HEAD": huge_head,
    "a link to another repository": link_as_repository,
    "a file that names another repository": file_that_names_another,
    "a file that shares another repository": file_that_shares_another,
    "a pipe as .git": pipe_as_repository,
}


@pytest.mark.full
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_repository_of_an_odd_shape_costs_a_run_no_more_than_the_commit(repository, told, shape):
    shape(repository)
    assert told(repository) is None


@pytest.mark.parametrize("name", ["index", "info/attributes", "config"])
def test_a_pipe_among_the_rest_costs_no_more_than_what_stands_in_it(repository, told, name):
    pipe_as(name)(repository)
    found = told(repository)
    assert found["branch"] == "trunk"
    assert ("dirty" in found) == (name != "index")


def test_a_branch_whose_name_is_not_text_is_left_out(repository, told):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / ".git/HEAD").write_bytes(b"ref: refs/heads/\xff\n")
    (repository / ".git/refs/heads" / os.fsdecode(b"\xff")).write_text(f"{commit}\n")
    assert told(repository) is None or "branch" not in told(repository)


def test_the_repository_of_a_neighbour_around_a_folder_is_not_believed(open_folder, as_nobody):
    def look():
        from metamlflow.store.lineage.repositories import repository_of

        (open_folder / "mine").mkdir()
        return repository_of(open_folder / "mine")

    (open_folder / ".git").mkdir()
    assert as_nobody(look) is None


# --- the usual shapes -------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_work_trees_submodules_and_packed_refs_are_read(repository, told, tmp_path):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "worktree", "add", "-b", "side", tmp_path / "tree")
    assert told(tmp_path / "tree") == {"commit": commit, "branch": "side", "dirty": False}
    git(repository, "pack-refs", "--all")
    assert told(repository) == {"commit": commit, "branch": "trunk", "dirty": False}
    assert told(tmp_path / "tree")["commit"] == commit
    outer = repository_at(tmp_path / "outer")
    git(outer, "submodule", "add", repository, "inner")
    found = told(outer / "inner")
    assert (found["commit"], found["branch"], found["dirty"]) == (commit, "trunk", False)


@pytest.mark.full
def test_staged_and_deleted_files_are_changes(repository, told):
    (repository / "new.csv").write_text("new")
    assert told(repository)["dirty"] is False
    git(repository, "add", "new.csv")
    assert told(repository)["dirty"] is True
    git(repository, "commit", "-m", "second")
    assert told(repository)["dirty"] is False
    (repository / "data.csv").unlink()
    assert told(repository)["dirty"] is True


def test_files_of_a_repository_by_sha256_are_compared_too(tmp_path, told):
    folder = tmp_path / "longer"
    folder.mkdir()
    (folder / "job.py").write_text(JOB)
    if subprocess.run(
        ["git", "init", "--object-format=sha256"], cwd=folder, capture_output=True, check=False
    ).returncode:
        pytest.skip("this git knows SHA-1 only")
    for command in (["add", "."], ["commit", "-m", "first"]):
        git(folder, *command)
    found = told(folder)
    assert (len(found["commit"]), found["dirty"]) == (64, False)


def test_a_distribution_that_is_a_pipe_or_endless_is_left_out_of_the_list(repository, told, raw, client):
    client.register_artifact("before", b"1")  # a run makes no store
    for name, make in {
        "pipe": os.mkfifo,
        "zero": lambda path: path.symlink_to("/dev/zero"),
        "sparse": lambda path: os.truncate(path, 1 << 40) if path.touch() is None else None,
        "good": lambda path: path.write_text("Metadata-Version: 2.1\nName: good\nVersion: 1.0\n\nText\n"),
    }.items():
        (repository / f"{name}-1.0.dist-info").mkdir()
        make(repository / f"{name}-1.0.dist-info/METADATA")
    assert told(repository)["branch"] == "trunk"
    (listed,) = [path.read_text() for path in raw.root.rglob("*.txt") if "blobs" not in path.parts]
    assert "good==1.0" in listed
    assert not any(f"{name}==" in listed for name in ("pipe", "zero", "sparse"))
