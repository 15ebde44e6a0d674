"""What a run says of code and machine: script, entry point, digest and git; and never a secret."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "hunter2-aws",
    "DATABASE_URL": "postgres://u:hunter2-db@h/x",
    "METAMLFLOW_STORAGE_OPTIONS": '{"secret": "hunter2-options"}',
    "METAMLFLOW_SOURCE_OPTIONS": '{"s3": {"secret": "hunter2-sources"}}',
    "HARMLESS": "hunter2-harmless",
}

JOB = """
import sys
from metamlflow import MetaMLFlowClient

client = MetaMLFlowClient(sys.argv[1])

@client.run("make")
def make():
    client.register_artifact("made", b"made")

make()
"""

MODULE = """
import sys
from metamlflow import MetaMLFlowClient

with MetaMLFlowClient(sys.argv[1]).run("module"):
    pass
"""


def git(folder, *arguments) -> str:
    settings = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=trunk"]
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A git repository with the job in it, committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "job.py").write_text(JOB)
    (folder / "other.txt").write_text("as committed")
    for command in (["init"], ["add", "."], ["commit", "-m", "first"]):
        git(folder, *command)
    return folder


REMOTES = {
    "user and password": ("https://user:hunter2-git@host.example/x.git", "https://host.example/x.git"),
    "a token as the user": ("https://hunter2-git@host.example/x.git", "https://host.example/x.git"),
    "a password with an at sign": ("https://user:hunter2@git@host.example/x.git", "https://host.example/x.git"),
    "ssh": ("ssh://git:hunter2-git@host.example/x.git", "ssh://host.example/x.git"),
    "like scp": ("hunter2-git@host.example:team/x.git", "host.example:team/x.git"),
    "a password with a slash": ("https://user:hunter2/git@host.example/x.git", "https://host.example/x.git"),
    "a password with a hash": ("https://user:hunter2#git@host.example/x.git", "https://host.example/x.git"),
    "a query": ("https://host.example/x.git?token=hunter2-git", "https://host.example/x.git"),
    "a fragment": ("https://host.example/x.git#hunter2-git", "https://host.example/x.git"),
    "nothing to hide": ("https://host.example/x.git", "https://host.example/x.git"),
}


@pytest.mark.full
@pytest.mark.parametrize(("remote", "kept"), REMOTES.values(), ids=REMOTES)
def test_the_records_hold_the_remote_without_credentials_and_nothing_of_the_environment(
    repository, script, runs, raw, remote, kept
):
    git(repository, "remote", "add", "origin", remote)
    done = script(JOB, cwd=repository, **SECRETS)
    assert (done.returncode, done.stderr) == (0, "")
    (run_id,) = runs.ids()
    assert runs.start(run_id)["code"]["git"]["remote"] == kept
    assert raw.manifest("made")["code"]["git"]["remote"] == kept
    everything = runs.everything()
    assert "hunter2" not in everything
    assert not any(name in everything for name in SECRETS)


@pytest.mark.full
def test_commit_branch_and_changes_are_told(repository, script, runs):
    assert script(JOB, cwd=repository).returncode == 0
    (repository / "untracked.txt").write_text("not told")
    assert script(JOB, cwd=repository).returncode == 0
    (repository / "other.txt").write_text("changed")
    assert script(JOB, cwd=repository).returncode == 0
    git(repository, "checkout", "--detach")
    assert script(JOB, cwd=repository).returncode == 0
    told = [runs.start(run_id)["code"]["git"] for run_id in runs.ids()]
    commit = git(repository, "rev-parse", "HEAD")
    clean, dirty = ({"commit": commit, "branch": "trunk", "dirty": state} for state in (False, True))
    assert told == [clean, clean, dirty, {"commit": commit, "dirty": True}]


def test_the_code_is_told_by_script_entry_point_and_digest_and_is_in_the_manifest_too(script, runs, raw):
    assert script(JOB).returncode == 0
    (run_id,) = runs.ids()
    code = runs.start(run_id)["code"]
    assert code == {
        "run": "make",
        "entry_point": "__main__:make",
        "script": "job.py",
        "source": "job.py",
        "source_digest": f"sha256:{hashlib.sha256(JOB.encode()).hexdigest()}",
    }
    assert raw.manifest("made")["code"] == code


def test_a_module_is_told_as_it_is_started(store_folder, tmp_path, runs):
    (tmp_path / "train_module.py").write_text(MODULE)
    subprocess.run([sys.executable, "-m", "train_module", store_folder], cwd=tmp_path, check=True)
    (run_id,) = runs.ids()
    code = runs.start(run_id)["code"]
    assert (code["script"], code["source"]) == ("python -m train_module", "train_module.py")
    assert "entry_point" not in code


def test_code_without_a_file_and_a_machine_without_git_are_no_failure(store_folder, tmp_path, runs):
    subprocess.run([sys.executable, "-c", MODULE, store_folder], cwd=tmp_path, env={"PATH": str(tmp_path)}, check=True)
    (run_id,) = runs.ids()
    assert runs.start(run_id)["code"] == {"run": "module"}
    assert runs.end(run_id)["outcome"] == "finished"


def test_no_folder_of_the_machine_is_in_a_record(script, runs, tmp_path):
    assert script(JOB).returncode == 0
    (run_id,) = runs.ids()
    records = json.dumps([runs.start(run_id), runs.end(run_id)])
    assert str(tmp_path) not in records
