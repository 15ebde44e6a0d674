"""Runs that begin in one context and end in another, that cross one another, and that are forked."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import threading
from contextlib import ExitStack

import pytest

from metamlflow.errors import InvalidInputError

USES = 1_050


def read(client, name) -> None:
    client.get_artifact(name).read_bytes()


def test_a_run_that_ends_in_another_thread_than_it_began_is_recorded(client, runs):
    def job():
        with client.run("job") as run:
            yield run

    steps = job()
    run = next(steps)
    thread = threading.Thread(target=lambda: list(steps))
    thread.start()
    thread.join()
    assert runs.end(run.id)["outcome"] == "finished"
    assert client.register_artifact("after", b"1").run_id is None


def test_a_run_that_spans_tasks_is_recorded(client, runs):
    async def fixture():
        with client.run("job") as run:
            yield run

    async def main():
        steps = fixture()
        run = await asyncio.create_task(anext(steps))
        with pytest.raises(StopAsyncIteration):
            await asyncio.create_task(anext(steps))
        return run

    run = asyncio.run(main())
    assert runs.end(run.id)["outcome"] == "finished"


def test_runs_that_end_in_another_order_than_they_began_leave_none_behind(client):
    one, two = ExitStack(), ExitStack()
    first = one.enter_context(client.run("first"))
    second = two.enter_context(client.run("second"))
    one.close()
    assert client.register_artifact("a", b"1").run_id == second.id
    two.close()
    assert client.register_artifact("b", b"1").run_id is None
    assert client.get_run(second.id).start.parent == first.id


def test_the_code_of_a_run_on_an_exit_stack_is_the_caller_s(client):
    with ExitStack() as stack:
        run = stack.enter_context(client.run("job"))
    assert client.get_run(run.id).start.code["source"] == os.path.basename(__file__)  # noqa: PTH119


def test_metrics_that_are_changed_later_are_kept_as_they_were_and_hide_no_error(client, runs):
    curve = [1.0]
    run = client.run("job")

    def job():
        with run:
            run.log_metrics(curve=curve)
            curve.append(object())
            raise KeyError

    with pytest.raises(KeyError):
        job()
    assert runs.end(run.id)["metrics"] == {"curve": [1.0]}
    assert runs.end(run.id)["error_type"] == "KeyError"


@pytest.mark.parametrize("name", [5, None, ["l"], b"x", "", "a\ud800", "x" * 201], ids=repr)
def test_a_name_that_is_no_text_is_refused(client, name):
    with pytest.raises(InvalidInputError):
        client.run(name)


@pytest.mark.parametrize("role", ["", "r\ud800", 5, None], ids=repr)
def test_a_role_that_is_no_text_is_refused(client, raw, role):
    client.register_artifact("a", b"1")
    with pytest.raises(InvalidInputError):
        client.register_artifact("b", b"1", inputs={role: "a"})
    assert len(raw.manifests()) == 1


def test_a_coroutine_function_that_is_wrapped_belongs_to_the_run_and_a_generator_is_refused(client):
    client.register_artifact("a", b"1")

    async def use():
        read(client, "a")

    def produce():
        yield 1

    with client.run("job") as run:
        wrapped = run.wrap(use)
        thread = threading.Thread(target=lambda: asyncio.run(wrapped()))
        thread.start()
        thread.join()
        with pytest.raises(InvalidInputError, match="generator"):
            run.wrap(produce)
    assert [str(used.name) for used in run.inputs] == ["a"]


@pytest.mark.full
def test_more_than_a_thousand_inputs_of_many_tasks_are_all_recorded_once(client, runs):
    for number in range(3):
        client.register_artifact(f"a/{number}", b"1")
    with client.run("job") as run:
        task = pickle.dumps(run.wrap(read))
        for number in range(USES):
            pickle.loads(task)(client, f"a/{number % 3}")
        made = client.register_artifact("made", b"1")
    assert len(runs.input_records(run.id)) == 3
    assert {str(used.name) for used in made.inputs} == {"a/0", "a/1", "a/2"}


def test_what_forked_workers_use_is_in_what_is_registered_after(client):
    for number in range(3):
        client.register_artifact(f"a{number}", b"1")
    with client.run("job"):
        workers = [
            multiprocessing.get_context("fork").Process(target=read, args=(client, f"a{number}")) for number in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        made = client.register_artifact("made", b"1")
    assert {str(used.name) for used in made.inputs} == {"a0", "a1", "a2"}


def test_a_child_that_leaves_the_run_does_not_end_it(client, runs):
    with client.run("job") as run:
        child = os.fork()
        if child == 0:
            try:
                run.__exit__(None, None, None)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert runs.end(run.id) is None
        run.log_metrics(loss=1)
    assert runs.end(run.id)["metrics"] == {"loss": 1}
