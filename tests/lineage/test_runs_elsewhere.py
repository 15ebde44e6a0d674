"""Runs in other threads and other processes, and jobs that are killed in the middle."""

from __future__ import annotations

import base64
import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from metamlflow import MetaMLFlowClient

NAMES = ("one", "two", "three")


@pytest.fixture(autouse=True)
def _sources(client):
    for name in NAMES:
        client.register_artifact(name, name.encode())


def use_and_register(folder: str, name: str) -> str:
    """Read one artifact and register another; at the top of the module, so that another process finds it."""
    client = MetaMLFlowClient(folder)
    client.get_artifact(name).read_bytes()
    return client.register_artifact(f"of-{name}", b"made").name


# --- threads ----------------------------------------------------------------------------------------------------------


def test_two_threads_in_two_runs_do_not_see_each_others_inputs(client, runs, manifest_inputs):
    meeting = threading.Barrier(2, timeout=20)

    def job(name: str) -> str:
        with client.run(f"job-{name}") as run:
            client.get_artifact(name).read_bytes()
            meeting.wait()  # both have used what they use before either registers
            client.register_artifact(f"of-{name}", b"made")
            meeting.wait()
            return run.id

    with ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(job, ("one", "two")))
    assert [runs.inputs(run_id) for run_id in ids] == [["one@1"], ["two@1"]]
    assert [runs.outputs(run_id) for run_id in ids] == [["of-one@1"], ["of-two@1"]]
    assert [manifest_inputs(f"of-{name}") for name in ("one", "two")] == [["one@1"], ["two@1"]]


def test_an_artifact_that_was_got_in_a_run_belongs_to_it_in_any_thread(client, runs):
    with client.run("job") as run, ThreadPoolExecutor(1) as pool:
        artifact = client.get_artifact("one")
        assert pool.submit(artifact.read_bytes).result() == b"one"
        assert runs.inputs(run.id) == ["one@1"]


def test_a_plain_thread_belongs_to_no_run_and_a_wrapped_function_does(client, runs, raw, store_folder):
    with client.run("job") as run, ThreadPoolExecutor(1) as pool:
        pool.submit(use_and_register, str(store_folder), "one").result()
        pool.submit(run.wrap(use_and_register), str(store_folder), "two").result()
    assert raw.manifest("of-one")["run"] is None
    assert raw.manifest("of-two")["run"] == run.id
    assert (runs.inputs(run.id), runs.outputs(run.id)) == (["two@1"], ["of-two@1"])


def test_many_threads_of_a_run_record_each_input_once(client, runs):
    with client.run("job") as run, ThreadPoolExecutor(8) as pool:
        read = run.wrap(lambda name: client.get_artifact(name).read_bytes())
        assert list(pool.map(read, NAMES * 20)) == [name.encode() for name in NAMES] * 20
    assert sorted(runs.inputs(run.id)) == sorted(f"{name}@1" for name in NAMES)


def test_a_wrapped_function_looks_like_the_one_inside(client):
    with client.run("job") as run:
        wrapped = run.wrap(use_and_register)
    assert wrapped.__name__ == "use_and_register"
    assert wrapped.__doc__ == use_and_register.__doc__


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_wrapped_function_belongs_to_the_run_in_processes_that_are_spawned(client, runs, raw, store_folder):
    spawn = multiprocessing.get_context("spawn")
    with client.run("job") as run:
        client.get_artifact("three").read_bytes()
        with ProcessPoolExecutor(2, mp_context=spawn) as pool:
            made = list(pool.map(run.wrap(use_and_register), [str(store_folder)] * 2, ["one", "two"]))
    assert made == ["of-one", "of-two"]
    assert [raw.manifest(name)["run"] for name in made] == [run.id] * 2
    assert sorted(runs.inputs(run.id)) == ["one@1", "three@1", "two@1"]
    assert len(list((runs.folder / run.id / "inputs").iterdir())) == 3


def test_an_artifact_that_travels_to_another_process_is_bound_to_no_run_there(client, runs):
    with client.run("job") as run:
        artifact = pickle.loads(pickle.dumps(client.get_artifact("one")))
    with client.run("other") as other:
        artifact.read_bytes()
    assert (runs.inputs(run.id), runs.inputs(other.id)) == ([], ["one@1"])


def test_what_other_processes_of_a_run_used_is_an_input_of_what_this_one_registers(
    client, runs, manifest_inputs, store_folder
):
    spawn = multiprocessing.get_context("spawn")
    with client.run("job") as run:
        client.get_artifact("three").read_bytes()
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            pool.submit(run.wrap(use_and_register), str(store_folder), "one").result()
        client.register_artifact("all", b"made")
    assert sorted(manifest_inputs("of-one")) == ["one@1", "three@1"]
    assert sorted(manifest_inputs("all")) == ["one@1", "three@1"]
    assert sorted(used.name for used in run.inputs) == ["one", "three"]


JOIN = """
import sys
from metamlflow import MetaMLFlowClient

client = MetaMLFlowClient(sys.argv[1])
with client.join_run(sys.argv[2]):
    client.get_artifact("two").read_bytes()
    client.register_artifact("joined", b"made")
client.get_artifact("three").read_bytes()
client.register_artifact("apart", b"made")
"""


def test_another_program_joins_a_run_by_its_token(client, runs, raw, manifest_inputs, script):
    with client.run("job") as run:
        client.get_artifact("one").read_bytes()
        done = script(JOIN, run.token)
    assert (done.returncode, done.stderr) == (0, "")
    assert raw.manifest("joined")["run"] == run.id
    assert raw.manifest("joined")["code"]["run"] == "job"
    assert sorted(manifest_inputs("joined")) == ["one@1", "two@1"]
    assert runs.inputs(run.id) == ["one@1", "two@1"]
    assert (raw.manifest("apart")["run"], manifest_inputs("apart")) == (None, [])


def test_a_token_holds_no_secret_of_the_client(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store", source_options={"s3": {"key": "AKIAEXAMPLE", "secret": "hunter2"}})
    with client.run("job") as run:
        token = run.token
    told = base64.urlsafe_b64decode(token).decode()
    assert run.id in told
    assert "hunter2" not in told
    assert "AKIAEXAMPLE" not in told


# --- the end of a process ---------------------------------------------------------------------------------------------

KILLED = """
import sys, time
from metamlflow import MetaMLFlowClient

client = MetaMLFlowClient(sys.argv[1])
with client.run("long", params={"epochs": 100}) as run:
    client.get_artifact("one").read_bytes()
    client.register_artifact("early", b"made")
    client.get_artifact("two").read_bytes()
    print(run.id, flush=True)
    time.sleep(60)
"""


def test_a_job_that_is_killed_leaves_an_unfinished_run_with_its_inputs(runs, manifest_inputs, store_folder):
    with subprocess.Popen([sys.executable, "-c", KILLED, store_folder], stdout=subprocess.PIPE, text=True) as job:
        run_id = job.stdout.readline().strip()
        job.kill()
    assert job.returncode == -9
    assert runs.ids() == [run_id]
    assert runs.start(run_id)["params"] == {"epochs": 100}
    assert runs.inputs(run_id) == ["one@1", "two@1"]
    assert runs.end(run_id) is None
    assert manifest_inputs("early") == ["one@1"]


EXITS = {
    "sys.exit": ("sys.exit(3)", 3, "SystemExit"),
    "an error": ("raise ZeroDivisionError('hunter2')", 1, "ZeroDivisionError"),
}


@pytest.mark.parametrize(("act", "code", "told"), EXITS.values(), ids=EXITS)
def test_a_process_that_ends_inside_a_run_leaves_a_failed_one(runs, script, act, code, told):
    begin = "import sys\nfrom metamlflow import MetaMLFlowClient\nwith MetaMLFlowClient(sys.argv[1]).run('r'):\n    "
    assert script(begin + act).returncode == code
    (run_id,) = runs.ids()
    end = runs.end(run_id)
    assert (end["outcome"], end["error_type"]) == ("failed", told)
    assert "hunter2" not in json.dumps(end)
