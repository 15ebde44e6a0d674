"""A small model of the storage, and a search through every order in which a few actors may take their steps.

An actor is a generator: it yields one request at a time, and is sent the answer. An actor that is not chosen sleeps,
and time jumps between requests. A claim is sent in one step and lands in a later one, at most an eighth of the grace
later: that is what the text allows for its attempts and for a request that comes late.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

GRACE = 16
LANDS_WITHIN = GRACE // 8
LONG_AGO = -100

Key = tuple[Any, ...]
Request = tuple[Any, ...]
Actor = Generator[Request, Any, Any]
Objects = dict[Key, tuple[Any, int]]


class LossFoundError(Exception):
    """The text does not hold: an order of steps was found after which something is lost."""


@dataclass(frozen=True)
class Scene:
    """What is to be searched.

    Attributes:
        actors: what each actor does, by its name.
        objects: what lies in the store at time 0: a value, and when it was written.
        jumps: by how much time may pass at once.
        most_jumps: how often.
        ends: checks the store when all have ended, given what each of them was told.
        checks_always: whether a live version must have its blobs after every step, not only at the end.
    """

    actors: Mapping[str, Callable[[], Actor]]
    objects: Objects
    jumps: tuple[int, ...] = (1, 7, GRACE + 1)
    most_jumps: int = 3
    ends: Callable[[Objects, Mapping[str, Any]], None] = field(default=lambda objects, told: None)
    checks_always: bool = True


@dataclass(frozen=True)
class _State:
    now: int
    jumps: int
    objects: frozenset[tuple[Key, tuple[Any, int]]]
    answers: tuple[tuple[Any, ...], ...]
    under_way: tuple[tuple[Key, Any, int] | None, ...]


def explore(scene: Scene, most_states: int = 400_000) -> int:
    """Search every order; return how many states there were.

    Raises:
        LossFoundError: one of them breaks what must hold.
    """
    names = sorted(scene.actors)
    first = _State(0, 0, frozenset(scene.objects.items()), ((),) * len(names), (None,) * len(names))
    seen, waiting = {first}, [first]
    known: dict[Any, Any] = {}
    while waiting:
        if len(seen) > most_states:
            raise AssertionError(f"more than {most_states:,} states: make the scene smaller")
        state = waiting.pop()
        for following in _following(scene, names, state, known):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return len(seen)


def _following(scene: Scene, names: list[str], state: _State, known: dict[Any, Any]) -> list[_State]:
    found = []
    told: dict[str, Any] = {}
    for position, name in enumerate(names):
        place = position, state.answers[position]
        if place not in known:
            known[place] = _request_of(scene.actors[name], state.answers[position])
        request, outcome = known[place]
        if request is None:
            told[name] = outcome
        else:
            found.append(_after(scene, state, position, request))
    if len(told) == len(names):
        scene.ends(dict(state.objects), told)
        check_live(dict(state.objects))
        return []
    if state.jumps < scene.most_jumps:
        latest = min((sent[2] for sent in state.under_way if sent is not None), default=None)
        found += [
            _State(state.now + jump, state.jumps + 1, state.objects, state.answers, state.under_way)
            for jump in scene.jumps
            if latest is None or state.now + jump <= latest
        ]
    return found


def _request_of(actor: Callable[[], Actor], answers: tuple[Any, ...]) -> tuple[Request | None, Any]:
    """Return an actor's next request, or what it was told at its end."""
    running = actor()
    try:
        request = next(running)
        for answer in answers:
            request = running.send(answer)
    except StopIteration as end:
        return None, end.value
    return request, None


def _after(scene: Scene, state: _State, position: int, request: Request) -> _State:
    objects = dict(state.objects)
    under_way = list(state.under_way)
    answer: Any
    if under_way[position] is not None:
        key, value, _ = under_way[position]
        answer = "won" if key not in objects else "lost"
        objects.setdefault(key, (value, state.now))
        under_way[position] = None
    elif request[0] == "claim":
        _, key, value, latest = request
        if state.now <= latest:
            under_way[position] = key, value, state.now + LANDS_WITHIN
            return _State(state.now, state.jumps, state.objects, state.answers, tuple(under_way))
        answer = "too late"
    else:
        answer = _answered(objects, state.now, request)
    if scene.checks_always:
        check_live(objects)
    answers = list(state.answers)
    answers[position] = (*answers[position], answer)
    return _State(state.now, state.jumps, frozenset(objects.items()), tuple(answers), tuple(under_way))


def _answered(objects: Objects, now: int, request: Request) -> Any:
    answer: Any = None
    match request:
        case ("clock",):
            answer = now
        case ("look", kind):
            found = (item for item in objects.items() if item[0][0] == kind)
            answer = tuple(sorted(found, key=lambda item: str(item[0])))
        case ("read", key):
            answer = objects.get(key, (None, 0))[0]
        case ("age", key):
            answer = now - objects[key][1] if key in objects else None
        case ("put", key):
            objects.setdefault(key, (None, now))
        case ("delete", key):
            objects.pop(key, None)
        case ("collect at once",):
            named = {blob for key, (value, _) in objects.items() if key[0] == "manifest" for blob in value[1]}
            for key in [key for key in objects if key[0] == "blob" and key[1] not in named]:
                if objects[key][1] < now - GRACE:
                    del objects[key]
        case _:
            raise AssertionError(request)
    return answer


# --- what must hold ---------------------------------------------------------------------------------------------------


def newest_state(objects: Mapping[Key, Any], version: int) -> int:
    return max((key[2] for key in objects if key[:2] == ("state", version)), default=0)


def lives(objects: Objects, version: int) -> bool:
    """Whether a version is live, as section 4 says."""
    if ("manifest", version) not in objects or ("tomb", version) in objects:
        return False
    number = newest_state(objects, version)
    return number % 2 == 0 or objects["state", version, number][0][1] != objects["manifest", version][0][0]


def check_live(objects: Objects) -> None:
    """Refuse a store in which a live version names a blob that is not there."""
    for key, (value, _) in objects.items():
        if key[0] == "manifest" and lives(objects, key[1]):
            missing = [blob for blob in value[1] if ("blob", blob) not in objects]
            if missing:
                raise LossFoundError(f"version {key[1]} is live, and {missing} are gone")
