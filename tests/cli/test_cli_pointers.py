"""The commands about data that stays where it is: what they write, what they do, and how they end."""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler

import pytest
from cli_process import call, files_below

from loopback import serving
from metamlflow import MetaMLFlowClient


@pytest.fixture
def lake(work):
    """A folder of three files, to be pointed to."""
    for path in ("a.csv", "deep/b.csv", "deep/c.txt"):
        (work / "lake" / path).parent.mkdir(parents=True, exist_ok=True)
        (work / "lake" / path).write_text(path, encoding="utf-8")
    return work / "lake"


@pytest.fixture
def events(ask, lake):
    """The folder, registered as ``lake/events@1``."""
    assert ask("pointer", "register", "lake/events", "lake").code == 0
    return lake


def artifact(reference="lake/events"):
    return MetaMLFlowClient("./store").get_artifact(reference)


def document(answer, code=0):
    assert (answer.code, answer.err) == (code, "")
    return json.loads(answer.out)


def test_register_prints_the_reference_and_records_what_was_given(ask, lake):
    options = ("--evidence", "full", "--type", "raw", "--meta", "rows=3")
    answer = ask("pointer", "register", "lake/events", "lake", *options)
    assert (answer.code, answer.out) == (0, "lake/events@1\n")
    found = artifact()
    assert (found.artifact_type, found.metadata) == ("raw", {"rows": 3})
    assert [(p.uri, p.kind, p.evidence) for p in found.pointed] == [(f"file://{lake}/", "prefix", "full")]
    assert {entry.path: entry.strength for entry in found.entries} == dict.fromkeys(
        ("a.csv", "deep/b.csv", "deep/c.txt"), "full"
    )
    assert not any(key.startswith("blobs/") for key in files_below(lake.parent / "store"))


def test_register_takes_a_glob_and_an_expected_digest(ask, lake):
    assert ask("pointer", "register", "csv", "lake/**/*.csv").code == 0
    assert [entry.path for entry in artifact("csv").entries] == ["a.csv", "deep/b.csv"]
    wrong = ask("pointer", "register", "one", "lake/a.csv", "--expected", f"sha256:{'0' * 64}")
    assert (wrong.code, wrong.out) == (1, "")
    assert "is not what was expected" in wrong.err
    assert ask("show", "one").code == 3


def test_unchanged_data_and_a_repeated_job_make_no_new_version(ask, lake):
    args = ("pointer", "register", "x", "lake")
    assert ask(*args).out == ask(*args, "--if-unchanged", "reuse").out == "x@1\n"
    assert ask(*args).out == "x@2\n"
    keyed = (*args, "--idempotency-key", "job-7")
    assert ask(*keyed).out == ask(*keyed).out == "x@3\n"


def test_strengthen_and_materialize_print_the_version_that_has_it(ask, events):
    assert ask("pointer", "strengthen", "lake/events").out == "lake/events@2\n"
    assert ask("pointer", "strengthen", "lake/events").out == "lake/events@2\n"
    assert ask("pointer", "materialize", "lake/events").out == "lake/events@3\n"
    (events / "a.csv").unlink()
    assert artifact().read_bytes("a.csv") == b"a.csv"
    assert ask("verify", "lake/events@3").code == 0
    assert ask("verify", "lake/events@2").code == 1


def test_strengthen_by_checksums_that_nobody_holds_names_the_choices(ask, events):
    answer = ask("pointer", "strengthen", "lake/events", "--evidence", "checksum")
    assert (answer.code, answer.out) == (2, "")
    assert "'full'" in answer.err
    assert "'stat'" in answer.err


def test_refresh_prints_each_change_and_the_version(ask, events):
    nothing = ask("pointer", "refresh", "lake/events")
    assert (nothing.code, nothing.out, nothing.err) == (0, "lake/events@1\n", "nothing changed\n")
    (events / "new").touch()
    (events / "deep/b.csv").unlink()
    (events / "a.csv").write_text("longer than it was", encoding="utf-8")
    answer = ask("pointer", "refresh", "lake/events")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "added\tnew\nremoved\tdeep/b.csv\nmodified\ta.csv\nlake/events@2\n"


@pytest.mark.parametrize("command", ["strengthen", "materialize", "refresh"])
def test_only_the_newest_version_can_be_derived_from(ask, events, command):
    (events / "new").touch()
    assert ask("pointer", "register", "lake/events", "lake").out == "lake/events@2\n"
    answer = ask("pointer", command, "lake/events@1")
    assert (answer.code, answer.out) == (4, "")
    assert "newest" in answer.err
    assert ask("show", "lake/events@3").code == 3


class Guarded(SimpleHTTPRequestHandler):
    """Gives files to those who have the key."""

    def send_head(self):
        if self.headers.get("X-Key") == "HUSH":
            return super().send_head()
        return self.send_error(403)

    def log_message(self, *_):
        pass


@pytest.fixture
def guarded(lake):
    """The address of a server that gives the folder's files to those who have the key."""
    with serving(partial(Guarded, directory=str(lake))) as url:
        yield url


def test_a_key_comes_from_an_option_or_the_environment_and_is_not_stored(work, ask, guarded, monkeypatch):
    pytest.importorskip("aiohttp")
    register = ("pointer", "register", "web", f"{guarded}/a.csv")
    refused = ask(*register)
    assert refused.code == 5
    assert "METAMLFLOW_POINTER_POLICY" in refused.err
    monkeypatch.setenv("METAMLFLOW_POINTER_POLICY", json.dumps({guarded: "allow"}))
    assert ask(*register).code == 5
    everywhere = ask(*register, "--source-option", "http.headers.X-Key=HUSH")
    assert (everywhere.code, "HUSH" in everywhere.err) == (2, False)
    assert ask(*register, "--source-option", f"{guarded}/.headers.X-Key=HUSH").out == "web@1\n"
    assert ask("get", "web", "denied").code == 5
    assert not (work / "denied").exists()
    monkeypatch.setenv("METAMLFLOW_SOURCE_OPTIONS", json.dumps({guarded: {"headers": {"X-Key": "HUSH"}}}))
    assert ask("get", "web", "out").code == 0
    assert (work / "out/a.csv").read_bytes() == b"a.csv"
    assert ask("pointer", "materialize", "web").out == "web@2\n"
    stored = [path for path in (work / "store").rglob("*") if path.is_file()]
    assert stored
    assert not any(b"HUSH" in path.read_bytes() for path in stored)


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_register_and_show_tell_places_and_evidence_as_json(ask, lake):
    registered = document(ask("pointer", "register", "x", "lake/a.csv", "--evidence", "full", "--json"))
    assert (registered["kind"], registered["version"]) == ("artifact", 1)
    uri = f"file://{lake}/a.csv"
    assert registered["pointers"] == [{"path": "", "uri": uri, "kind": "object", "evidence": "full"}]
    assert registered["storage_path"] == uri
    (entry,) = document(ask("show", "x", "--json"))["entries"]
    evidence = entry.pop("evidence")
    sha256 = hashlib.sha256(b"a.csv").hexdigest()
    assert evidence.pop("computed") == {"sha256": sha256, "crc32c": "a436d73a"}
    modified = (lake / "a.csv").stat().st_mtime_ns
    assert evidence == {"strength": "full", "etag": None, "modified_ns": modified, "held": {}}
    assert {name: entry[name] for name in ("path", "size", "sha256", "uri", "version")} == {
        "path": "a.csv",
        "size": 5,
        "sha256": sha256,
        "uri": uri,
        "version": None,
    }


def test_refresh_as_json(ask, events):
    nothing = document(ask("pointer", "refresh", "lake/events", "--json"))
    assert set(nothing) == {"format", "kind", "changed", "counts", "added", "removed", "modified", "artifact"}
    assert (nothing["kind"], nothing["changed"], nothing["artifact"]["version"]) == ("refresh", False, 1)
    (events / "new").touch()
    done = document(ask("pointer", "refresh", "lake/events", "--json"))
    assert (done["changed"], done["added"], done["artifact"]["version"]) == (True, ["new"], 2)
    assert done["counts"] == {"added": 1, "removed": 0, "modified": 0}


@pytest.mark.parametrize("command", ["strengthen", "materialize"])
def test_derived_versions_as_json(ask, events, command):
    found = document(ask("pointer", command, "lake/events", "--json"))
    assert (found["kind"], found["name"], found["version"]) == ("artifact", "lake/events", 2)
    assert bool(found["pointers"]) is (command == "strengthen")


# --- how they end -----------------------------------------------------------------------------------------------------

ENDS = {
    "nothing there": (3, ("register", "x", "lake/nope"), "SourceNotFoundError"),
    "no scheme of ours": (5, ("register", "x", "carrier-pigeon://loft/3"), "PointerPolicyError"),
    "an evidence unheard of": (2, ("register", "x", "lake", "--evidence", "much"), "BadParameter"),
    "an expected digest unheard of": (2, ("register", "x", "lake/a.csv", "--expected", "x"), "InvalidInputError"),
    "an expected digest of a folder": (
        2,
        ("register", "x", "lake", "--expected", f"md5:{'0' * 32}"),
        "InvalidInputError",
    ),
    "a digest that nobody holds": (2, ("register", "x", "lake", "--evidence", "checksum"), "EvidenceUnavailableError"),
    "an unknown name": (3, ("refresh", "nope"), "ArtifactNotFoundError"),
    "an unknown version": (3, ("strengthen", "lake/events@7"), "ArtifactNotFoundError"),
    "a source option without a value": (2, ("register", "x", "lake", "--source-option", "s3"), "BadParameter"),
    "options of local files": (2, ("register", "x", "lake", "--source-option", "file.a=1"), "InvalidInputError"),
}


@pytest.mark.full
@pytest.mark.parametrize(("code", "arguments", "kind"), ENDS.values(), ids=ENDS)
def test_the_exit_code_says_why_nothing_was_registered(ask, events, code, arguments, kind):
    answer = ask("pointer", *arguments, "--json")
    assert (answer.code, answer.out) == (code, "")
    assert json.loads(answer.err)["error"] == kind
    assert ask("ls").out.startswith("lake/events\t1\t")
    assert len(ask("ls").out.splitlines()) == 1


@pytest.mark.parametrize("command", [("get", "lake/events", "out"), ("pointer", "strengthen", "lake/events")])
def test_drift_ends_with_1_and_leaves_nothing(work, ask, events, command):
    (events / "a.csv").write_text("changed", encoding="utf-8")
    answer = ask(*command)
    assert (answer.code, answer.out) == (1, "")
    assert f"file://{events}/a.csv is not what was registered" in answer.err
    assert not (work / "out").exists()
    assert ask("show", "lake/events@2").code == 3


@pytest.mark.parametrize(
    "uri",
    [
        "s3://key:HUSH@lake/x",
        "s3://lake/x?X-Amz-Signature=HUSH",
        "https://user:HUSH@127.0.0.1:1/x",
        "https://127.0.0.1:1/x?token=HUSH",
        "gs://lake/x?X-Goog-Signature=HUSH",
    ],
)
def test_a_secret_in_the_uri_is_refused_and_not_echoed(work, ask, uri):
    for more in ((), ("--json",)):
        answer = ask("pointer", "register", "x", uri, *more)
        assert (answer.code, answer.out) == (2, "")
        assert "it carries" in answer.err
        assert "HUSH" not in answer.err
    assert not (work / "store").exists()


def test_a_secret_is_not_echoed_with_debug_either(tmp_path):
    answer = call(
        "pointer", "register", "x", "https://127.0.0.1:1/x?token=HUSH", "--store", "store", "--debug", cwd=tmp_path
    )
    assert answer.returncode == 2
    assert b"Traceback" in answer.stderr
    assert b"HUSH" not in answer.stdout + answer.stderr
    assert files_below(tmp_path) == set()


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_shows_what_changed_where_it_lies(ask, events):
    assert ask("verify", "lake/events", "--level", "stat").code == 0
    (events / "a.csv").unlink()
    answer = ask("verify", "lake/events", "--level", "stat")
    assert answer.code == 1
    assert "a.csv" in answer.out
    report = document(ask("verify", "lake/events", "--level", "stat", "--json"), code=1)["reports"][0]
    assert report["counts"] == {"ok": 2, "modified": 0, "missing": 1, "unreadable": 0, "unverifiable": 0}
    assert report["findings"][0]["key"] == f"file://{events}/a.csv"


def test_verify_keeps_what_is_done_in_a_file_that_it_removes(work, ask, events):
    ask("register", "b", "lake/a.csv")
    head = {"verification": f"file://{work}/store", "level": "full"}
    journal = work / "journal"
    journal.write_text(json.dumps(head) + "\n", encoding="utf-8")
    manifest = artifact("b").manifest_digest
    finding = {"path": "a.csv", "status": "modified", "key": "k", "expected": "x", "actual": "kept from before"}
    part = {"start": 0, "stop": 1024, "first": True}
    line = {"manifest": manifest, "part": part, "bytes": 0, "findings": [finding]}
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    answer = ask("verify", "--all", "--resume", "journal")
    assert answer.code == 1
    assert "kept from before" in answer.out
    assert not journal.exists()
    assert ask("verify", "--all", "--resume", "journal").code == 0


def test_verify_refuses_a_file_that_is_no_journal(work, ask, events):
    answer = ask("verify", "--all", "--resume", "lake/a.csv")
    assert (answer.code, answer.out) == (2, "")
    assert (events / "a.csv").read_text("utf-8") == "a.csv"


def test_verify_goes_no_faster_than_it_is_told(ask, events):
    started = time.monotonic()
    assert ask("verify", "lake/events", "--level", "stat", "--objects-per-second", "10").code == 0
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    "option",
    [
        ("--objects-per-second", "0"),
        ("--objects-per-second", "-1"),
        ("--objects-per-second", "x"),
        ("--bytes-per-second", "0"),
        ("--bytes-per-second", "fast"),
    ],
)
def test_a_limit_that_is_none_is_refused(ask, events, option):
    answer = ask("verify", "lake/events", *option)
    assert (answer.code, answer.out) == (2, "")
