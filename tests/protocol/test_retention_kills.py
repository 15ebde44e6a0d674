"""A prune, a restore, a protection and a policy that are killed at any call: run again, each ends as intended."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pytest
from forked import fate_of, killed_at
from worlds import IMPATIENT, NAME, LocalWorld, MemoryWorld, World

from metamlflow.errors import ConflictError
from metamlflow.testing import Crash, Crashed, FalseConflict, FaultyBackend, LostReply, client_on, simulated_crash

W = TypeVar("W", bound=World)


def prepared(world: W) -> W:
    client = world.client()
    for number in range(1, 7):
        client.register_artifact(NAME, b"%d" % number)
    client.set_alias(NAME, "best", 1)
    client.protect(f"{NAME}@2", "audit")
    client.register_artifact("model", b"m", inputs=[f"{NAME}@3"])
    client.register_artifact("gone", b"1")
    client.register_artifact("gone", b"2")
    client.prune("gone", versions=[1])
    client.set_policy("team/*", keep_last=1)
    return world


def prune(client) -> None:
    assert client.prune("team/*", keep_last=1)


def is_pruned(client) -> bool:
    return client.list_versions(NAME) == [1, 2, 3, 6] and client.get_artifact(NAME, "best").read_bytes() == b"1"


def restore(client) -> None:
    with suppress(ConflictError):  # it is live: the run that was killed restored it
        client.restore("gone@1")


def is_restored(client) -> bool:
    return client.list_versions("gone") == [1, 2] and client.get_artifact("gone", 1).read_bytes() == b"1"


def protect(client) -> None:
    client.protect(f"{NAME}@4")


def is_protected(client) -> bool:
    protected = {protection.version for protection in client.protections(NAME)}
    return protected == {2, 4} and client.list_versions(NAME) == [1, 2, 3, 4, 5, 6]


def unprotect(client) -> None:
    client.unprotect(f"{NAME}@2")


def is_unprotected(client) -> bool:
    return client.protections() == []


def set_policy(client) -> None:
    client.set_policy("other/*", keep_last=3)


def is_set(client) -> bool:
    return [str(policy.pattern) for policy in client.policies()] == ["team/*", "other/*"]


def apply(client) -> None:
    assert client.apply_policies()


CALLS: dict[str, tuple[Callable, Callable]] = {
    "prune": (prune, is_pruned),
    "restore": (restore, is_restored),
    "protect": (protect, is_protected),
    "unprotect": (unprotect, is_unprotected),
    "set_policy": (set_policy, is_set),
    "apply_policies": (apply, is_pruned),
}


@pytest.mark.full
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", CALLS)
def test_killed_at_any_call_and_run_again_it_ends_as_intended(name, when):
    call, is_done = CALLS[name]
    world = prepared(MemoryWorld())
    template = dict(world.bucket.objects)
    backend = FaultyBackend(world.backend())
    call(client_on(backend, IMPATIENT))
    assert is_done(world.client())
    for nth in range(1, len(backend.calls) + 1):
        world.bucket.objects = dict(template)
        crash = Crash(nth=nth, when=when, crash=simulated_crash)
        with pytest.raises(Crashed):
            call(client_on(FaultyBackend(world.backend(), [crash]), IMPATIENT))
        assert {1, 2, 3, 6} <= set(world.client().list_versions(NAME)), "what is held is never lost to a kill"
        call(world.client())
        assert is_done(world.client()), f"killed {when} call {nth}: {backend.calls[nth - 1]}"


@pytest.mark.full
@pytest.mark.parametrize("name", ["prune", "restore", "apply_policies"])
def test_a_process_that_is_killed_at_any_creation_leaves_what_a_second_one_completes(name, tmp_path):
    call, is_done = CALLS[name]
    template = prepared(LocalWorld(tmp_path / "template")).root
    for nth in range(1, 9):
        for after in (False, True):
            world = LocalWorld(shutil.copytree(template, tmp_path / f"{nth}{after}"))

            def die(nth: int = nth, *, after: bool = after, world: LocalWorld = world) -> None:
                wrapped = killed_at(nth, after=after)
                os.link, os.fsync = wrapped(os.link), wrapped(os.fsync)
                call(world.client())

            assert fate_of(die) in {-signal.SIGKILL, 0}
            call(world.client())
            assert is_done(world.client())


@pytest.mark.parametrize("fault", [LostReply, FalseConflict])
@pytest.mark.parametrize("name", CALLS)
def test_unclear_answers_to_any_creation_end_as_intended(name, fault):
    call, is_done = CALLS[name]
    world = prepared(MemoryWorld())
    template = dict(world.bucket.objects)
    for nth in (1, 2, 3):
        world.bucket.objects = dict(template)
        call(client_on(FaultyBackend(world.backend(), [fault(verb="create", nth=nth)]), IMPATIENT))
        assert is_done(world.client())
