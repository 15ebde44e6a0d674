"""Stores with erased versions, states that speak of other manifests, hidden names and notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kit import originals
from kit.writing import Records

OTHER = f"sha256:{'6' * 64}"


def _versions(records: Records, name: str, count: int, **fields: Any) -> list[str]:
    """So many versions with content of their own, each with the digest of the one before."""
    digests: list[str] = []
    for version in range(1, count + 1):
        entries = [records.blob("data", f"{name} {version}\n".encode())]
        before = digests[-1] if digests else None
        digests.append(records.manifest(name, version, entries, kind="file", previous=before, **fields))
    return digests


def _pruned_and_erased(records: Records, name: str, version: int, **fields: Any) -> None:
    records.state(name, version, 1, "pruned")
    records.tomb(name, version, **fields)


def erased(records: Records) -> None:
    """Tombs over every state, with and without the manifest, aliases and claims on them, and chains through them."""
    records.marker()
    _versions(records, "Chain", 4)
    _pruned_and_erased(records, "Chain", 2, reason="a person asked\nfor it", **{"x-unknown": []})
    _pruned_and_erased(records, "Chain", 3)
    first, *_ = _versions(records, "left", 2)
    records.signature("left", 1, first)
    _pruned_and_erased(records, "left", 1, leave=True)
    _versions(records, "no-state", 2)
    records.tomb("no-state", 1)
    _versions(records, "restored", 2)
    records.state("restored", 2, 1, "pruned")
    records.state("restored", 2, 2, "restored")
    records.tomb("restored", 2, leave=True)
    _versions(records, "newest", 3)
    records.state("newest", 2, 1, "pruned")
    _pruned_and_erased(records, "newest", 3)
    _versions(records, "all", 2)
    _pruned_and_erased(records, "all", 1)
    _pruned_and_erased(records, "all", 2)
    records.note("all", None, 1, title="all are gone")
    records.note("all", 2, 1, title="means nothing any more")
    _versions(records, "taken", 1)
    records.tomb("taken", 1, leave=True, manifest_digest=OTHER)
    records.alias("newest", "erased", 1, 3)
    records.alias("newest", "pruned", 1, 2)
    records.alias("newest", "moved", 1, 3)
    records.alias("newest", "moved", 2, 1)
    _claims(records)
    _shared_and_used(records)


def _claims(records: Records) -> None:
    """On erased numbers: of this publish or another one, with the manifest and without."""
    _versions(records, "claimed", 3)
    records.tomb("claimed", 1)
    records.claim("claimed", "spent", 1)
    records.tomb("claimed", 2, leave=True)
    records.claim("claimed", "dead", 2)
    lies_there = json.loads((records.root / originals.manifest_key("claimed", 2)).read_bytes())
    records.claim("claimed", "its manifest lies there", 2, record_id=lies_there["record_id"])
    records.claim("claimed", "open", 4)
    came_later = json.loads((records.root / originals.manifest_key("taken", 1)).read_bytes())
    records.claim("taken", "of whoever came later", 1, record_id=came_later["record_id"])
    records.claim("taken", "of another one", 1)


def _shared_and_used(records: Records) -> None:
    """A blob that a live version has too, an input that was erased, and a consumer that was."""
    shared = [records.blob("data", b"shared\n")]
    gone = records.manifest("shared", 1, [*shared, records.blob("own", b"of the erased one\n")])
    records.manifest("shared", 2, shared, previous=gone)
    _pruned_and_erased(records, "shared", 1)
    used = {"name": "shared", "version": 1, "manifest_digest": gone, "role": None}
    for name in ("consumer", "erased-consumer"):
        records.manifest(name, 1, shared, inputs=[used])
        records.put(f"edges/shared/_v1/{name}@1", b'{"format":1}\n')
    records.tomb("erased-consumer", 1)


def erased_badly(records: Records) -> None:
    """Tombs that are damaged or speak of others, and chains that do not agree with theirs."""
    records.marker()
    _versions(records, "damaged", 3)
    records.put(originals.tomb_key("damaged", 2), b"{}\n")
    _versions(records, "newest", 2)
    records.put(originals.tomb_key("newest", 2), b"")
    records.alias("newest", "best", 1, 2)
    _versions(records, "of-another", 2)
    records.tomb("of-another", 1, leave=True, name="another")
    records.tomb("of-another", 2, version=1)
    _versions(records, "chain", 4)
    records.tomb("chain", 2, manifest_digest=OTHER)
    records.tomb("chain", 4, previous=OTHER)
    _versions(records, "no-input", 1)
    records.claim("no-input", "on a damaged tomb", 2)
    records.put(originals.tomb_key("no-input", 2), b"[]")


def other_manifests(records: Records) -> None:
    """States that speak of a manifest which never came: they hold for nobody."""
    records.marker()
    _versions(records, "live", 2)
    records.state("live", 2, 1, "absent", OTHER)
    records.alias("live", "best", 1, 2)
    _versions(records, "pruned", 2)
    records.state("pruned", 2, 1, "absent", OTHER)
    records.state("pruned", 2, 2, "restored", OTHER)
    records.state("pruned", 2, 3, "pruned")
    _versions(records, "restored", 1)
    records.state("restored", 1, 1, "pruned")
    records.state("restored", 1, 2, "restored", OTHER)
    _versions(records, "above", 4)
    records.state("above", 3, 1, "pruned", OTHER)
    records.state("above", 4, 1, "pruned")
    _versions(records, "lower", 2)
    records.state("lower", 1, 1, "pruned", OTHER)
    records.state("lower", 2, 1, "pruned")
    records.state("lower", 3, 1, "absent", OTHER)
    records.blob("nothing names this", b"garbage\n")


def states_unread(records: Records) -> None:
    """Odd states that are damaged: nobody takes such a version for a live one, or for one that is not."""
    records.marker()
    _versions(records, "newest", 2)
    records.state("newest", 2, 1, "pruned", "sha256:none")
    _versions(records, "below", 3)
    records.state("below", 2, 1, "restored")
    _versions(records, "only", 1)
    records.state("only", 1, 1, "pruned", format=2)
    _versions(records, "even", 2)
    records.state("even", 2, 1, "pruned")
    records.state("even", 2, 2, "pruned")
    _versions(records, "between", 3)
    records.state("between", 2, 1, "lost")
    records.state("between", 3, 1, "pruned", OTHER)
    _versions(records, "before-format-1", 1)
    records.state("before-format-1", 1, 1, "pruned", manifest_digest=None)


def hidden(records: Records) -> None:
    """Names that are hidden, shown again, and hidden once more; what the records say is not read."""
    records.marker()
    for name in ("Hidden/name", "again", "damaged", "never", "shown", "never/below"):
        _versions(records, name, 1)
    records.hiding("Hidden/name", 1, **{"x-unknown": 1})
    records.hiding("shown", 1)
    records.hiding("shown", 2)
    for number in (1, 2, 3):
        records.hiding("again", number)
    records.hiding("damaged", 1, state="shown")
    records.record("names/no-version.json", name="no-version")
    records.hiding("no-version", 1)
    records.hiding("no-record", 1)
    records.put("names/never!/later", b"nobody's\n")
    records.alias("Hidden/name", "best", 1, 1)
    _versions(records, "erased", 1)
    records.tomb("erased", 1)
    records.hiding("erased", 1)


def noted(records: Records) -> None:
    """Notes on names and versions: the newest holds, also over what is damaged; some mean nothing."""
    records.marker()
    _versions(records, "Model/x", 3)
    records.note("Model/x", None, 1, title="First \u00e9\u2028", tags={"stage": "draft"})
    records.note("Model/x", None, 2, description="# Text\n\n<b>\0", tags={"stage": "", "$": "x"}, writer=None)
    records.note("Model/x", None, 10, title="Ten", **{"x-unknown": {"deep": [1]}})
    records.note("Model/x", 1, 1, title="of the first", tags=None)
    records.note("Model/x", 2, 1, tags={"a": 1})
    records.note("Model/x", 2, 2, created_by="")
    records.state("Model/x", 3, 1, "pruned")
    records.note("Model/x", 3, 1, title="of a pruned one")
    records.note("Model/x", 3, 2, title="")
    records.note("Model/x", 4, 1, title="of no version")
    records.note("nobody", None, 1, title="of no name")
    records.note("nobody", 1, 1, title="of no version of no name")
    _versions(records, "plain", 1)
    _versions(records, "emptied", 1)
    records.note("emptied", None, 1, title="There was something")
    records.note("emptied", None, 2)
    names_content = records.blob("x", b"named by a note alone, so nothing names it\n")
    records.note("plain", 1, 1, description=names_content["key"], uri=f"file:///{names_content['key']}")


STORES: dict[str, Callable[[Records], None]] = {
    "erased": erased,
    "erased-badly": erased_badly,
    "hidden": hidden,
    "noted": noted,
    "other-manifests": other_manifests,
    "states-unread": states_unread,
}
