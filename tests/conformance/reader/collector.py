"""Section 13: what a collector does where everything was written longer ago than the grace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reader import versions
from reader.json_text import Refused
from reader.keys import record_of, stops_a_collector
from reader.uris import blobs_in

if TYPE_CHECKING:
    from reader.store import Store


def told(store: Store) -> dict[str, Any]:
    """At what it stops; else the blobs and the manifests under tombs that it deletes."""
    unknown = [key for key in store.keys if stops_a_collector(key)]
    unread = sorted(key for key in _read_by_it(store) if not _is_read(store, key))
    features = {name for key, _ in store.of("features") for name in _names_in(store, key)}
    stops_at: dict[str, Any] = {"unknown": unknown, "unread": unread, "features": sorted(features)}
    stops_at["vanished"] = [] if any(stops_at.values()) else _vanished(store)
    live = {} if any(stops_at.values()) else _named(store, kept=False)
    stops_at["missing"] = sorted(live.keys() - set(store.keys))
    stops_at["not_whole"] = sorted(key for key in live.keys() & set(store.keys) if live[key] != {store.size_of(key)})
    stops = any(stops_at.values())
    frees = [] if stops else sorted({key for key, _ in store.of("blob")} - _named(store, kept=True).keys())
    buried = [key for key, said in store.of("manifest") if versions.manifest_key(store, **_of(said)) is None]
    return {"deletes_nothing": stops, **stops_at, "frees": frees, "buries": [] if stops else buried}


def _vanished(store: Store) -> list[str]:
    """Of each name the highest number without manifest and tomb below its highest version, and all that are held."""
    there = {(name, number) for name in versions.names_of(store) for number in versions.numbers_of(store, name)}
    gone = {(said["name"], said["version"]) for _, said in store.in_force()} - there
    for name, newest in {name: max(versions.numbers_of(store, name), default=0) for name, _ in there}.items():
        number = newest
        while (name, number) in there:
            number -= 1
        gone |= {(name, number)} if number else set()
    for _, said in store.of("alias"):
        if said["name"] in _with_an_odd_state(store):
            named = store.read(store.highest("alias", name=said["name"], alias=said["alias"])[1])["version"]
            if named and named > max(versions.numbers_of(store, said["name"])):
                gone.add((said["name"], named))
    return sorted(f"{name}@{number}" for name, number in gone)


def _of(said: dict[str, Any]) -> dict[str, Any]:
    return {"name": said["name"], "version": said["version"]}


def _read_by_it(store: Store) -> list[str]:
    """All that it has to read.

    The marker, the lists of features, the tombs, the manifests under none, the odd states and aliases that may hold,
    and the record of the last collection.

    Where the versions of a name cannot be listed, none of them is read.
    """
    found = ["metamlflow.json"] if "metamlflow.json" in store.keys else []
    found += [key for key, _ in store.of("features")]
    found += [key for key in [store.highest("collection")[1]] if key]
    found += sorted(
        {
            store.highest("alias", name=said["name"], alias=said["alias"])[1]
            for _, said in store.of("alias")
            if said["name"] in _with_an_odd_state(store)
        }
    )
    found += [key for key, said in store.of("tomb") if not store.of("refused", name=said["name"])]
    for key, said in store.of("manifest"):
        if store.of("refused", name=said["name"]) or versions.manifest_key(store, **_of(said)) is None:
            continue
        found.append(key)
        number, state = store.highest("state", **_of(said))
        if number % 2:
            found.append(state)
    return found


def _with_an_odd_state(store: Store) -> set[str]:
    """The names that have a version, not erased, whose highest state is odd."""
    return {
        said["name"]
        for _, said in store.of("manifest")
        if store.highest("state", **_of(said))[0] % 2 and versions.manifest_key(store, **_of(said))
    }


def _is_read(store: Store, key: str) -> bool:
    try:
        found = store.read(key)
        if record_of(key)["kind"] == "manifest":
            versions.items_of(store, found)
    except Refused:
        return False
    return True


def _names_in(store: Store, key: str) -> list[str]:
    said = store.told(key)
    return [] if said == "refused" else [*said["read"], *said["write"]]


def _named(store: Store, *, kept: bool) -> dict[str, set[int]]:
    """The blobs of every live version, with their sizes; or also of those that an alias stands for or are protected.

    If they are kept, what their pointers lead to as well.
    """
    held = {
        (said["name"], store.read(store.highest("alias", name=said["name"], alias=said["alias"])[1])["version"])
        for _, said in store.of("alias")
        if said["name"] in _with_an_odd_state(store)
    } | {(said["name"], said["version"]) for _, said in store.in_force()}
    named: dict[str, set[int]] = {}
    for key, said in store.of("manifest"):
        at = (said["name"], said["version"])
        if versions.manifest_key(store, *at) and (versions.is_live(store, *at) or (kept and at in held)):
            found = store.read(key)
            for one in (*(found["shards"] or ()), *versions.items_of(store, found)):
                if "key" in one:
                    named.setdefault(one["key"], set()).add(one["size"])
                for pointed in blobs_in(one["uri"]) if kept and "uri" in one else ():
                    named.setdefault(pointed, set())
    return named
