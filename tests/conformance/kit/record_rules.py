"""What the small records say: bounds, closed lists, and the fields that have to agree with the key."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

from kit import originals
from kit.cases import Case, as_document
from kit.uri_rules import REFUSED as REFUSED_URIS
from kit.uri_rules import TAKEN as TAKEN_URIS

ORIGIN = originals.ORIGIN


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _marker()
    yield from _states()
    yield from _tombs()
    yield from _hiding()
    yield from _notes()
    yield from _features()
    yield from _alias()
    yield from _policies()
    yield from _notes_on_changes()
    yield from _collections()
    yield from _runs()
    yield from _signatures()
    yield from _relocations()


def _case(kind: str, what: str, rule: str | None = None, *, key: str | None = None, **fields: Any) -> Case:
    """The good document of a kind with some fields changed."""
    known, document = originals.DOCUMENTS[kind]
    return Case(f"{kind}/{what}", key or known, as_document(document | fields), rule)


def _marker() -> Iterator[Case]:
    for grace in (1, 604_800, 10_000_000_000):
        yield _case("marker", f"grace of {grace}", grace_seconds=grace)
    for grace in (0, -1, 10_000_000_001, 1.5, 604_800.0, "604800", True):
        yield _case("marker", f"grace of {grace!r}", "marker.grace", grace_seconds=grace)
    for feature in ("later", "pointers", ""):
        yield _case("marker", f"requires {feature!r}", "feature.marker", requires=[feature])
    for number, value in enumerate(({}, "x", [7], [None], False), start=1):
        yield _case("marker", f"requires bad {number}", "type.array", requires=value)


def _states() -> Iterator[Case]:
    for kind, states in {"pruned": ["restored"], "restored": ["pruned", "absent"], "absent": ["restored"]}.items():
        for state in states:
            yield _case(kind, f"says {state}", "state.parity", state=state)
        for state in ("hidden", "erased", "PRUNED", "", "live", 7, [], True):
            yield _case(kind, f"says {state!r}", "enum.state", state=state)


def _tombs() -> Iterator[Case]:
    known, _ = originals.DOCUMENTS["tomb"]
    first = known.replace("9999999997_v2", "9999999998_v1")
    yield _case("tomb", "of version 1", key=first, version=1, previous=None)
    yield _case("tomb", "without a reason", reason=None)
    yield _case("tomb", "of version 1, with a previous", "manifest.previous-first", key=first, version=1)
    for name in ("fraud/features", "other", "Fraud"):
        yield _case("tomb", f"of {name}", "tomb.key", name=name)
    for version in (1, 3):
        yield _case("tomb", f"of number {version}", "tomb.key", version=version)
    yield _case("tomb", "at another number", "tomb.key", key=known.replace("9999999997_v2", "9999999996_v3"))
    yield _case("tomb", "at another name", "tomb.key", key=known.replace("!fraud", "fraud"))
    for value in ("", "Fraud/features/", "con", 7, []):
        yield _case("tomb", f"name {value!r}", "type.name", name=value)
    for value in ("2", 2.0, 0, 9_999_999_999, True, []):
        yield _case("tomb", f"version {value!r}", "type.version", version=value)


def _hiding() -> Iterator[Case]:
    for kind, other in (("hidden", "shown"), ("shown", "hidden")):
        yield _case(kind, f"says {other}", "hiding.parity", state=other)
        for state in ("pruned", "HIDDEN", "Shown", "", 7, [], True):
            yield _case(kind, f"says {state!r}", "enum.hiding", state=state)


def _notes() -> Iterator[Case]:
    yield _case("note", "of nothing", title=None, description=None, tags=None, writer=None)
    yield _case("note", "a hundred tags", tags={f"{number:03d}": "" for number in range(100)})
    yield _case("note", "the longest value of a tag", tags={"a": "x" * 5_000})
    yield _case("note", "a title of 1,001 bytes", "limit.title", title="x" * 1_001)
    yield _case("note", "a title of 501 letters", "limit.title", title="\u00e9" * 501)
    yield _case("note", "101 tags", "limit.tags", tags={f"{number:03d}": "" for number in range(101)})
    yield _case("note", "a tag of 251 bytes", "limit.tags", tags={"x" * 251: ""})
    yield _case("note", "a tag of 126 letters", "limit.tags", tags={"\u00e9" * 126: ""})
    yield _case("note", "a value of 5,001 bytes", "limit.tags", tags={"a": "x" * 5_001})
    yield _case("note", "a value of 2,501 letters", "limit.tags", tags={"a": "\u00e9" * 2_501})
    key, note = originals.DOCUMENTS["note"]
    for letter, most in (("x", 100_000), ("\u00e9", 50_000)):
        for count in (most, most + 1):
            before, after = as_document(note | {"description": "@"}).decode().split("@")
            rule = "limit.description" if count > most else None
            yield Case(f"note/a description of {count} {letter}", key, [before, [letter, count], after], rule)


def _features() -> Iterator[Case]:
    key, document = originals.DOCUMENTS["features"]
    yield _case("features", "of nothing", read=[], write=[])
    for count, rule in ((1_000, None), (1_001, "limit.features")):
        for field in ("read", "write"):
            before, after = as_document(document | {field: ["@"]}).decode().split('"@"')
            recipe = [before, {"each": '"f#"', "to": count, "join": ","}, after]
            yield Case(f"features/{count} names in {field}", key, recipe, rule)


def _alias() -> Iterator[Case]:
    for version in (1, 9_999_999_998, None):
        yield _case("alias", f"version {version}", version=version)
    for version in (0, -1, 9_999_999_999, 1.0, "7", True, [], {}):
        yield _case("alias", f"version {version!r}", "type.version", version=version)
    key, _ = originals.DOCUMENTS["alias"]
    yield Case("alias/version missing", key, as_document(ORIGIN), "alias.there")


def _policies() -> Iterator[Case]:
    policy = originals.POLICY
    yield _case("policies", "of nothing", policies=[])
    yield _case("policies", "a condition that nobody knows", policies=[policy | {"where": "moon = full (("}])
    yield _case("policies", "without rules", policies=[policy | dict.fromkeys(("keep_last", "where"), None)])
    alike = [policy, policy | {"keep_last": 1}]
    yield _case("policies", "two for one pattern", "policies.once", policies=alike)
    yield _case("policies", "two that differ in case", policies=[policy, policy | {"pattern": "Checkpoints/**"}])
    key, document = originals.DOCUMENTS["policies"]
    before, after = as_document(document | {"policies": ["@"]}).decode().split('"@"')
    for count, rule in ((1_000, None), (1_001, "limit.policies")):
        each = f'{{"created_at":"{originals.NOON}","created_by":"","pattern":"p#/*"}}'
        recipe = [before, {"each": each, "to": count, "join": ","}, after]
        yield Case(f"policies/{count} of them", key, recipe, rule)


def _notes_on_changes() -> Iterator[Case]:
    fields = {"alias": "note", "pruned": "note", "protection": "note", "over": "note", "tomb": "reason"}
    documents = {kind: (field, originals.DOCUMENTS[kind]) for kind, field in fields.items()}
    key, policies = originals.DOCUMENTS["policies"]
    for letter, most in (("x", 5_000), ("\u00e9", 2_500)):
        for count, rule in ((most, None), (most + 1, "limit.note")):
            for kind, (field, (place, document)) in documents.items():
                before, after = as_document(document | {field: "@"}).decode().split("@")
                yield Case(f"{kind}/a {field} of {count} {letter}", place, [before, [letter, count], after], rule)
            one = policies | {"policies": [originals.POLICY | {"note": "@"}]}
            before, after = as_document(one).decode().split("@")
            yield Case(f"policies/a note of {count} {letter}", key, [before, [letter, count], after], rule)


def _collections() -> Iterator[Case]:
    for phase in ("begun", "going", "ended"):
        yield _case("collection", f"is {phase}", phase=phase)
    yield _case("collection", "the first of its own", collection=originals.ID, unclear=None)
    for phase in ("BEGUN", "done", "", 7, [], True):
        yield _case("collection", f"is {phase!r}", "enum.phase", phase=phase)


def _runs() -> Iterator[Case]:
    yield _case("start", "of another run", "run.key", run_id="e" * 32)
    yield _case("start", "run_id in capitals", "run.key", run_id="F" * 32)
    for role in ("", None):
        used = originals.INPUT | {"role": role}
        said = as_document({"name": "raw", "role": role, "version": 3})
        key = f"runs/{'f' * 32}/inputs/{hashlib.sha256(said).hexdigest()[:32]}.json"
        yield _case("used", f"role {role!r}", key=key, input=used)
    for field, value in {"name": "other", "version": 4, "role": "test"}.items():
        yield _case("used", f"another {field}", "input.key", input=originals.INPUT | {field: value})
    yield _case("used", "input is a list", "type.object", input=[originals.INPUT])
    yield _case("end", "finished", outcome="finished", error_type=None, notes=[], outputs=[])
    yield from _series()
    for outcome in ("killed", "FINISHED", "", 7, True, []):
        yield _case("end", f"outcome {outcome!r}", "enum.outcome", outcome=outcome)


def _series() -> Iterator[Case]:
    def of(steps: object, values: object) -> dict[str, object]:
        return {"loss": {"steps": steps, "values": values}}

    special = [{"$float": "NaN"}, {"$float": "-Infinity"}, {"$int": str(2**70)}]
    yield _case("end", "no series", series={})
    yield _case("end", "series without points", series=of([], []))
    yield _case("end", "series of numbers that JSON has not", series=of([0, 1, 2], special))
    yield _case("end", "series of a name with signs", series={"$int": {"steps": [0], "values": [1]}})
    yield _case("end", "series with 1,000 points", series=of(list(range(1_000)), [0.5] * 1_000))
    yield _case("end", "100 series", series={f"m{number:03}": {"steps": [0], "values": [1]} for number in range(100)})
    broken = {
        "more steps": of([0, 1], [1]),
        "more values": of([0], [1, 2]),
        "steps that fall": of([7, 0], [0.5, 0.25]),
        "a step twice": of([1, 1], [1, 2]),
        "a step below 0": of([-1], [1]),
        "a step with a fraction": of([0.5], [1]),
        "a step that is true": of([True], [1]),
        "a step too large": of([2**53], [1]),
        "a text as a value": of([0, 7], ["1", 0.25]),
        "true as a value": of([0], [True]),
        "null as a value": of([0], [None]),
        "an object as a value": of([0], [{"$float": "nan"}]),
        "1,001 points": of(list(range(1_001)), [0.5] * 1_001),
        "101 names": {f"m{number:03}": {"steps": [0], "values": [1]} for number in range(101)},
    }
    for what, series in broken.items():
        yield _case("end", f"series with {what}", "run.series", series=series)
    yield _case("end", "series null", series=None)
    yield _case("end", "series that is a text", "type.object", series="loss")
    yield _case("end", "series that is a list", "type.object", series={"loss": [[0, 1]]})
    yield _case("end", "series without steps", "type.array", series={"loss": {"values": []}})


def _signatures() -> Iterator[Case]:
    for algorithm in ("ed448", "Ed25519", "", 7):
        yield _case("signature", f"algorithm {algorithm!r}", "enum.algorithm", algorithm=algorithm)
    yield _case("signature", "signature of zeros", signature=base64.b64encode(bytes(64)).decode())
    public, signed = originals.SIGNATURE["public_key"], originals.SIGNATURE["signature"]
    spelled = {
        "without padding": {"public_key": public.rstrip("=")},
        "padded twice": {"public_key": public + "="},
        "a line break": {"public_key": public + "\n"},
        "a space": {"signature": signed[:4] + " " + signed[4:]},
        "letters of URLs": {"signature": base64.urlsafe_b64encode(b"\xff" * 64).decode()},
        "bits that no byte has": {"signature": signed[:85] + chr(ord(signed[85]) + 1) + "=="},
        "31 bytes": {"public_key": base64.b64encode(originals.PUBLIC[1:]).decode()},
        "65 bytes": {"signature": base64.b64encode(bytes(65)).decode()},
        "no bytes": {"signature": ""},
        "hex": {"public_key": originals.PUBLIC.hex()},
        "a number": {"signature": 7},
        "a list": {"public_key": []},
    }
    for what, fields in spelled.items():
        yield _case("signature", what, "type.base64", **fields)
    other = hashlib.sha256(bytes(32)).hexdigest()
    zeros = base64.b64encode(bytes(32)).decode()
    yield _case("signature", "key_id of another key", "signature.key-id", key_id=other)
    yield _case("signature", "another public key", "signature.key-id", public_key=zeros)
    yield _case("signature", "at the key of another", "signature.key", key=f"signatures/a/_v1/{other}.json")


def _relocations() -> Iterator[Case]:
    for what, uri in TAKEN_URIS.items():
        yield _case("relocation", f"old {what}", old=uri, new="s3://elsewhere/" if uri.endswith("/") else "s3://else/x")
    for what, (rule, uri) in REFUSED_URIS.items():
        new = "s3://elsewhere/" if uri.endswith("/") else "s3://else/x"
        yield _case("relocation", f"old {what}", rule, old=uri, new=new)
        yield _case("relocation", f"new {what}", rule, new=uri, old=new)
    yield _case("relocation", "of one object", old="s3://a/x", new="s3://a/y")
    for field in ("old", "new"):
        yield _case("relocation", f"{field} is a number", "uri.shape", **{field: 7})
    for what, old, new in (("old", "s3://a/x/", "s3://b/x"), ("new", "s3://a/x", "s3://b/x/")):
        yield _case("relocation", f"only {what} ends in a slash", "relocation.slash", old=old, new=new)
    yield _case("relocation", "to where it was", "relocation.differ", old="s3://a/x/", new="s3://a/x/")
