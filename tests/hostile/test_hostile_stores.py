"""Whoever may write to the store cannot make a reader take wrong bytes, raise anything odd, or take more than it may.

Each case is a copy of an honest store that was changed in one way. Every reading call is made on it, in a child with
little memory that is watched for what it opens. Each outcome is exactly that of the honest store, or an error of the
library, or a report that says that something is wrong.
"""

from __future__ import annotations

import json
import os
import shutil

import cases_of_contents
import cases_of_documents
import cases_of_records
import pytest
from honest_store import HostileStore, build
from reading_calls import CALLS, LINEAGES, LISTS, REPORTS
from reading_process import CALL_SECONDS, Order, ReadingProcess

CASES = cases_of_documents.CASES | cases_of_contents.CASES | cases_of_records.CASES
GROWTH_BYTES = 400 * 1024 * 1024  # a document of 64 MiB, decoded, and what reads it
UNREAD = "the protections cannot be read: "
MORE_REQUESTS = 400  # of a local store, where a read is an open as well
BUG = 70
HARMLESS = {
    "files of others everywhere",
    "a state with an enormous number",
    "notes on a version that is not there",
    "thousands of files beside notes",
    "a thousand things among the features",
}
"""What a reader does not even notice; only who compares or examines the whole store does, or is to delete."""
REQUESTS_OF_A_RECORD = 4  # a migration brings what strangers left below a name, too: it reads it, and creates it there
TAKEN_AT_ITS_WORD = {
    "metadata and columns that are markup",
    "a schema that is none",
    "an entry of other content",
    "a manifest with another history",
    "a manifest of its own inputs",
    "a list that names forged content",
    "two paths of one disk name",
    "a path of 2,000 folders",
    "a path too long for a disk",
    "a path of combining characters",
    "a policy with a condition of 100,000 parentheses",
    "an alias of a version that is not there",
    "an alias with texts that are markup",
    "an alias with the largest number",
    "notes with the largest number",
    "notes that are markup",
    "a version with the largest number",
    "a state that brings back what was pruned",
    "a version that was erased",
    "the newest version erased",
    "a record of another erased version",
    "a record of an erased version of another name",
    "a record of an erased version without a digest",
    "a record of an erased version of 3 GB",
    "a hidden name",
    "names of nothing",
    "a run with texts that are markup",
    "a run inside itself",
    "a signed manifest that was replaced",
    "an entry with a size one too small",
    "an entry of 2^52 bytes",
    "an entry of 5 GB",
    "an entry of no content",
    "a list of files of 2^52 bytes",
    "a list that begins elsewhere",
    "a list of nested lines",
    "lists of files that are not there",
    "lists of files that overlap",
    "a pointer to the users of this machine",
    "a pointer to a secret beside the store",
    "a pointer of 2^52 bytes",
    "a pointer without evidence",
    "a pointer with a line break",
    "a state that contradicts its number",
    "a state that comes without the ones before",
    "a version that is missing",
    "a run of another id",
    "a run that ended in nonsense",
    "a run of 3 GB",
    "a relocation to the users of this machine",
    "a signature of nothing",
    "a signature with another key",
}
"""Forgeries that are whole in themselves: only signatures, histories and lineage can tell, and here some of them do."""


_CONTENT = ("read-bytes", "download", "cli-get", "verify-full", "cli-verify", "local-folder")
_WIDE = ("entries-wide", "verify-wide")
MUST_FAIL = {
    "an entry with a size one too small": _CONTENT,
    "an entry of 2^52 bytes": _CONTENT,
    "an entry of 5 GB": _CONTENT,
    "an entry of no content": _CONTENT,
    "content that goes on for 3 GB": _CONTENT,
    "content with a byte more": _CONTENT,
    "content with a flipped bit": _CONTENT,
    "content that is cut off": _CONTENT,
    "no content at all": _CONTENT,
    "a list of files of 2^52 bytes": _WIDE,
    "a list that begins elsewhere": _WIDE,
    "a list of nested lines": _WIDE,
    "lists of files that overlap": _WIDE,
    "lists of files in another order": _WIDE,
    "lists of files that are not there": _WIDE,
    "a list of files that is cut off": _WIDE,
    "a manifest with another history": ("history",),
    "notes with more tags than there may be": ("notes", "notes-of-artifact", "cli-notes", "cli-show"),
    "notes with tags that are none": ("notes", "notes-of-artifact", "cli-notes", "cli-show"),
    "notes of another version of the format": ("notes", "notes-of-artifact", "cli-notes", "cli-show"),
    "notes of 3 GB": ("notes", "notes-of-artifact", "cli-notes", "cli-show"),
    "a version that was erased": ("history", "get-number", "get-alias"),
    "the newest version erased": ("history",),
    "a record of another erased version": ("history",),
    "a record of an erased version of another name": ("history",),
    "a record of an erased version without a digest": ("history",),
    "a record of an erased version of 3 GB": ("history",),
    "a version with the largest number": ("history",),
    "a version that is missing": ("history", "get-number", "get-alias"),
    "a manifest of its own inputs": ("verify-lineage",),
    "an entry of other content": ("verify-lineage", "history"),
    "a signed manifest that was replaced": ("require-signature", "verify-lineage"),
    "a signature with another key": ("require-signature",),
    "relocations that lengthen": ("pointer-read", "pointer-download"),
    "a relocation whose halves are a chain": ("pointer-read",),
}
"""Calls that must raise or tell: that the others may take a store at its word is no excuse for these."""
FEW = ("get-number", "list", "list-versions", "verify-full", "history", "compare", "doctor", "cli-ls")
HEAVY = {
    "a marker of a million keys": FEW,
    "a marker of a million empty objects": FEW,
    "lists of files that are not there": ("get-wide", *_WIDE, "list", "cli-ls", "read-wide"),
}
"""Cases of large documents, with the calls that decode them in their own ways: more would only take time."""


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("honest")
    build(folder / "store", folder / "lake")
    return folder


@pytest.fixture(scope="module")
def readers():
    with ReadingProcess() as process:
        yield process


@pytest.fixture
def run(readers, honest, tmp_path):
    def run_all(store_folder, calls=()):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        outside = tmp_path / "outside"
        outside.write_bytes(b"nobody's business")
        canaries = [str(outside), "/etc/passwd"]
        url = f"file://{store_folder}"
        return readers.run(Order(url, str(honest / "store"), str(scratch), list(calls), canaries))

    return run_all


@pytest.fixture(scope="module")
def expected(readers, honest, tmp_path_factory):
    """What every call gives on the honest store."""
    scratch = tmp_path_factory.mktemp("scratch")
    return readers.run(Order(f"file://{honest}/store", str(honest / "store"), str(scratch)))


def records_below(store):
    """How many files lie below the names of a store."""
    return sum(len(files) for _, _, files in os.walk(store / "artifacts"))


def without_notes(value):
    """What a command gave, but for what it says on the side of what it could not read."""
    if not isinstance(value, dict) or "code" not in value:
        return value
    lines = value["out"].splitlines(keepends=True)
    return value | {"out": "".join(line for line in lines if not line.startswith(UNREAD))}


def problem_of(name, outcome, honest, seconds=CALL_SECONDS, requests=MORE_REQUESTS):  # noqa: PLR0911 (one line for each rule)
    """Return why an outcome may not be, or None."""
    value = outcome.get("value")
    if "raw" in outcome:
        return f"raised what is no error of the library:\n{outcome['raw']}"
    if outcome["seconds"] > seconds:
        return f"took {outcome['seconds']} s"
    if sum(outcome["requests"].values()) > 2 * sum(honest["requests"].values()) + requests:
        return f"made {outcome['requests']} requests"
    if isinstance(value, dict) and value.get("code") == BUG:
        return f"the command ended as by a bug: {value['out']}"
    if "error" in outcome or without_notes(value) == honest.get("value"):
        return None
    if isinstance(value, dict) and value.get("ok") is False:
        return None  # an exit code that is not 0, or a report of what is wrong
    if name in LINEAGES and ('"complete": false' in json.dumps(value) or "DamagedRecordWarning" in outcome["warned"]):
        return None
    if name in LISTS and "DamagedRecordWarning" in outcome["warned"]:
        return None if name.startswith("cli") or all(item in honest["value"] for item in value) else "invents"
    return f"gave {json.dumps(value)[:1500]}\ninstead of {json.dumps(honest)[:1500]}"


def succeeded(outcome):
    value = outcome.get("value")
    return "value" in outcome and not (isinstance(value, dict) and value.get("ok") is False)


def test_the_calls_read_an_honest_store(expected):
    failing = {name for name, outcome in expected.items() if name and "value" not in outcome}
    assert failing == {"get-old"}
    assert expected["get-old"]["error"] == "ArtifactPrunedError"
    # A disk holds no checksums, so that nothing is verified at that level; a report that says so tells of no damage.
    assert {name for name in REPORTS if not expected[name]["value"]["ok"]} == {"verify-checksum"}
    assert set(expected) == {*CALLS, ""}


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.usefixtures("deep_tree")
def test_a_hostile_store_gives_what_was_registered_or_an_error(case, run, honest, expected, tmp_path):
    store = tmp_path / "hostile"
    shutil.copytree(honest / "store", store)
    before = {path.name for path in tmp_path.iterdir()}
    CASES[case](HostileStore(store, honest / "lake"))
    outcomes = run(store, HEAVY.get(case, ()))
    told = outcomes.pop("")
    assert "died" not in told, told
    assert told["seen"] == []
    assert told["left"] in ([], ["cache"])
    assert told["grown"] < GROWTH_BYTES
    assert {path.name for path in tmp_path.iterdir()} <= before | {"outside", "scratch"}
    allowed = {"migrate": REQUESTS_OF_A_RECORD * max(0, records_below(store) - records_below(honest / "store"))}
    found = {
        name: problem_of(name, outcome, expected[name], requests=MORE_REQUESTS + allowed.get(name, 0))
        for name, outcome in outcomes.items()
    }
    problems = {name: problem for name, problem in found.items() if problem}
    if case in TAKEN_AT_ITS_WORD:
        problems = {name: problem for name, problem in problems.items() if not problem.startswith(("gave", "invents"))}
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())
    trusting = [name for name in MUST_FAIL.get(case, ()) if name in outcomes and succeeded(outcomes[name])]
    assert not trusting
    differing = [name for name in outcomes if outcomes[name].get("value") != expected[name].get("value")]
    assert set(differing) <= {"compare", "fsck", "collection-plan"} if case in HARMLESS else differing


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) >= 60
    assert CASES.keys() >= TAKEN_AT_ITS_WORD | HARMLESS
