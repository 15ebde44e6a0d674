"""`doctor` and `policy`: what they find in a local store, what they print, and that they leave all as it was."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest
from cli_process import files_below

from metamlflow.backend.diagnosis import Examination, Observation
from metamlflow.errors import InvalidInputError, StorageError
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.doctor import Check, access_policy, examine
from metamlflow.testing import MemoryBackend

CHECK = {"name": str, "verdict": str, "found": str, "remedy": (str, type(None))}
LOCAL = {
    "versions",
    "cache",
    "store",
    "features",
    "listing",
    "reading",
    "conditional-writes-link",
    "permissions",
    "folder",
    "disk",
    "hard-links",
    "case-folding",
    "leftovers",
}


@pytest.fixture
def found(ask, work, monkeypatch):
    """Calls the doctor and returns each check's verdict and text by its name."""
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(work / "cache"))

    def _found(code: int = 0) -> dict[str, dict]:
        answer = ask("doctor", "--json")
        assert (answer.code, answer.err) == (code, "")
        document = json.loads(answer.out)
        assert set(document) == {"format", "kind", "uri", "ok", "checks"}
        assert (document["format"], document["kind"], document["ok"]) == (1, "doctor", code == 0)
        for check in document["checks"]:
            assert set(check) == set(CHECK)
            assert all(isinstance(check[name], kind) for name, kind in CHECK.items())
        return {check["name"]: check for check in document["checks"]}

    return _found


def test_a_good_store_passes_every_check(found, rides):
    checks = found()
    assert set(checks) == LOCAL
    assert {check["verdict"] for name, check in checks.items() if name not in {"disk", "hard-links"}} == {"ok"}
    assert "grace 7 days" in checks["store"]["found"]


def test_it_leaves_a_store_as_it_was(found, work, rides):
    store = work / "store"

    def state():
        return {path: (store / path).stat().st_mtime_ns for path in files_below(store)}

    before = state()
    found()
    assert state() == before
    assert not (work / "cache").exists()


def test_where_there_is_no_store_none_is_made(found, work):
    checks = found()
    assert checks["store"]["verdict"] == "warning"
    assert checks["conditional-writes-link"]["verdict"] == "unknown"
    assert not (work / "store").exists()


def test_a_folder_of_other_things_is_no_store(found, work):
    (work / "store").mkdir()
    (work / "store/mine.txt").touch()
    checks = found(1)
    assert checks["store"]["verdict"] == "failed"
    assert "mine.txt" in checks["store"]["found"]


def test_it_goes_on_after_a_damaged_marker(found, work, rides):
    marker = work / "store/metamlflow.json"
    marker.chmod(0o600)
    marker.write_text("{", encoding="utf-8")
    checks = found(1)
    assert set(checks) == LOCAL
    assert checks["store"]["verdict"] == "failed"
    assert checks["conditional-writes-link"]["verdict"] == checks["leftovers"]["verdict"] == "ok"


def test_a_file_in_place_of_the_store_fails(found, work):
    (work / "store").touch()
    assert found(1)["folder"]["verdict"] == "failed"


def test_leftovers_of_killed_writers_are_counted(found, work, rides):
    left = work / f"store/.tmp/1-{'1' * 32}"
    left.write_bytes(b"12345")
    # Neither the doctor's own probe nor another writer sweeps what is this young.
    assert found()["leftovers"]["found"] == "1 temporary files, 5 bytes, 0 of them older than a day"
    os.utime(left, (time.time() - 90_000,) * 2)
    # The probe is a write, and each process that writes sweeps first; so look without a store.
    (work / "store/metamlflow.json").rename(work / "marker")
    checks = found(1)
    assert checks["leftovers"]["verdict"] == "warning"
    assert left.exists()


def test_a_cache_that_is_set_up_wrongly_fails(found, work, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_CACHE_SIZE", "much")
    cache = found(1)["cache"]
    assert cache["verdict"] == "failed"
    assert "METAMLFLOW_CACHE_SIZE" in f"{cache['found']} {cache['remedy']}"


def test_in_a_pipe_a_check_is_a_line_of_four_fields(ask, rides):
    lines = [line.split("\t") for line in ask("doctor").out.splitlines()]
    assert {len(line) for line in lines} == {4}
    assert {line[0] for line in lines} == LOCAL
    assert lines[2][:2] == ["store", "ok"]


def test_remedies_stand_below_the_table_on_a_terminal(ask, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = ask("doctor").out
    assert out.startswith("CHECK")
    assert "\nstore: Check the URI." in out


@pytest.mark.parametrize("command", ["doctor", "policy"])
def test_what_cannot_begin_ends_as_every_command_does(ask, command):
    assert ask(command, "--store", "").code == 2
    assert ask(command, "--store", "nowhere://x").code == 2
    assert ask(command, "--option", "no=such").code == 2


# --- other backends ---------------------------------------------------------------------------------------------------


class Odd(MemoryBackend):
    """A backend with checks of its own, some of which go wrong in every way."""

    def creators(self):
        return {"a": self.create, "b": lambda key, data: None}

    def examinations(self, marker: str) -> Iterator[Examination]:
        def fail(error: Exception):
            raise error

        yield Examination("defect", lambda: fail(RuntimeError("oops")))
        yield Examination("vital", lambda: fail(StorageError("gone", hint="find it")), vital=True)
        yield Examination("setting", lambda: fail(StorageError("no such question")))
        yield Examination("last", lambda: Observation("ok", marker))


def examined(backend, tmp_path) -> dict:
    return {check.name: check for check in examine(Store(backend.url, {}, backend=backend), FileCache(tmp_path / "c"))}


def test_a_backend_without_checks_of_its_own_is_examined_by_its_verbs(tmp_path):
    backend = MemoryBackend()
    Store(backend.url, {}, backend=backend).writable_marker()
    checks = examined(backend, tmp_path)
    assert set(checks) == {
        "versions",
        "cache",
        "store",
        "features",
        "listing",
        "reading",
        "conditional-writes",
        "permissions",
    }
    assert {check.verdict for check in checks.values()} == {"ok"}


def test_every_engine_is_probed_and_no_error_hides_the_other_checks(tmp_path):
    backend = Odd()
    Store(backend.url, {}, backend=backend).writable_marker()
    checks = examined(backend, tmp_path)
    assert {name: checks[name].verdict for name in ("conditional-writes-a", "conditional-writes-b")} == {
        "conditional-writes-a": "ok",
        "conditional-writes-b": "failed",
    }
    assert (checks["defect"].verdict, checks["defect"].found) == ("unknown", "RuntimeError: oops")
    assert (checks["vital"].verdict, checks["vital"].remedy) == ("failed", "find it")
    assert checks["setting"].verdict == "unknown"
    assert checks["last"] == Check("last", "ok", "metamlflow.json")


def test_a_backend_without_advice_says_so():
    backend = MemoryBackend()
    with pytest.raises(InvalidInputError, match="does not offer a policy"):
        access_policy(Store(backend.url, {}, backend=backend), "reader")


# --- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["reader", "writer", "pruner", "collector"])
def test_the_commands_for_a_folder_run_and_the_store_works_on(ask, work, rides, role):
    answer = ask("policy", "--role", role)
    assert answer.code == 0
    assert answer.err.startswith("note: ")
    script = answer.out.replace("GROUP", str(os.getgid()))
    subprocess.run(["bash", "-eu", "-c", script], check=True, cwd=work)
    assert ask("register", "bikes/rides", str(rides)).code == 0
    assert ask("verify", "--all").code == 0
    mode = (work / "store/blobs").stat().st_mode
    assert mode & 0o007 == 0
    assert bool(mode & 0o1000) == (role in {"writer", "pruner"})


def s3_policy(ask, role: str, *options: str, store: str = "s3://bucket/some/team") -> tuple[dict, str]:
    pytest.importorskip("s3fs")
    answer = ask("policy", "--store", store, "--role", role, *options)
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["Version"] == "2012-10-17"
    return {statement["Sid"]: statement for statement in document["Statement"]}, answer.err


LISTING = {
    "Sid": "ListStore",
    "Effect": "Allow",
    "Action": ["s3:ListBucket"],
    "Resource": "arn:aws:s3:::bucket",
    "Condition": {"StringLike": {"s3:prefix": ["some/team/*"]}},
}


def test_a_reader_of_s3_gets_and_lists_below_the_prefix_alone(ask):
    statements, _ = s3_policy(ask, "reader")
    assert statements["ListStore"] == LISTING
    assert statements["ReadObjects"]["Action"] == ["s3:GetObject"]
    assert statements["ReadObjects"]["Resource"] == "arn:aws:s3:::bucket/some/team/*"
    assert set(statements) == {"ListStore", "ReadObjects"}


def test_a_writer_of_s3_overwrites_and_deletes_nothing(ask):
    statements, notes = s3_policy(ask, "writer")
    assert statements["CreateObjects"]["Action"] == [
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ]
    deny = statements["NeverOverwrite"]
    assert (deny["Effect"], deny["Action"]) == ("Deny", "s3:PutObject")
    below = "arn:aws:s3:::bucket/some/team/"
    assert {f"{below}metamlflow.json", f"{below}names/*", f"{below}artifacts/*", f"{below}blobs/*"} <= set(
        deny["Resource"]
    )
    assert deny["Condition"] == {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
    assert "Delete" not in json.dumps(statements)
    assert "CopyObject" in notes


def test_every_key_that_a_writer_writes_is_denied_to_be_overwritten(ask, work, rides):
    statements, _ = s3_policy(ask, "writer", store="s3://bucket")
    patterns = [resource.removeprefix("arn:aws:s3:::bucket/") for resource in statements["NeverOverwrite"]["Resource"]]
    others = ["policies/9999999998.json", "protections/a/_v1/9999999998.end.json", "collections/9999999998.json"]
    others += ["features/9999999998.json", "relocations/9999999998.json", f"signatures/model/_v1/{'0' * 64}.json"]
    for key in [*files_below(work / "store"), *others]:
        assert any(key == p or (p.endswith("*") and key.startswith(p[:-1])) for p in patterns), key


def test_a_collector_of_s3_deletes_content_and_records_of_versions_and_creates_records_of_collections_alone(ask):
    statements, _ = s3_policy(ask, "collector")
    place = "arn:aws:s3:::bucket/some/team"
    assert statements["CollectContent"]["Action"][:2] == ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    assert statements["CollectContent"]["Resource"] == f"{place}/blobs/*"
    places = ("artifacts", "signatures", "cache", "protections")
    assert statements["EraseRecords"]["Resource"] == [f"{place}/{it}/*" for it in places]
    assert statements["CreateObjects"]["Resource"] == [f"{place}/metamlflow.json", f"{place}/collections/*"]
    assert statements["NeverOverwrite"]["Effect"] == "Deny"


@pytest.mark.parametrize("role", ["reader", "writer", "pruner"])
def test_nobody_but_a_collector_of_s3_may_delete(ask, role):
    statements, _ = s3_policy(ask, role)
    actions = [action for each in statements.values() for action in [each["Action"]] if each["Effect"] == "Allow"]
    assert not [action for action in actions if "Delete" in str(action)]


def test_a_pruner_of_s3_creates_states_policies_and_protections_alone(ask):
    statements, _ = s3_policy(ask, "pruner")
    created = ("metamlflow.json", "artifacts/*.state-*.json", "policies/*", "protections/*")
    assert statements["CreateObjects"]["Resource"] == [f"arn:aws:s3:::bucket/some/team/{key}" for key in created]


def test_a_whole_bucket_is_listed_without_a_condition(ask):
    statements, _ = s3_policy(ask, "reader", store="s3://bucket")
    assert "Condition" not in statements["ListStore"]


def test_what_stands_for_others_in_a_policy_is_taken_as_it_is(ask):
    statements, _ = s3_policy(ask, "reader", store="s3://bucket/a*b$c")
    assert statements["ReadObjects"]["Resource"] == "arn:aws:s3:::bucket/a${*}b${$}c/*"


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_other_partitions_have_other_names(ask, region, partition):
    statements, _ = s3_policy(ask, "reader", "--option", f"client_kwargs.region_name={region}")
    assert statements["ListStore"]["Resource"] == f"arn:{partition}:s3:::bucket"


KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234"


@pytest.mark.parametrize(
    ("role", "actions"), [("reader", ["kms:Decrypt"]), ("writer", ["kms:Decrypt", "kms:GenerateDataKey"])]
)
def test_an_encryption_key_may_be_used(ask, role, actions):
    options = [
        f"--option=s3_additional_kwargs.{pair}" for pair in ("ServerSideEncryption=aws:kms", f"SSEKMSKeyId={KEY}")
    ]
    statements, notes = s3_policy(ask, role, *options)
    assert statements["UseKey"] == {"Sid": "UseKey", "Effect": "Allow", "Action": actions, "Resource": KEY}
    assert "placeholder" not in notes


@pytest.mark.parametrize("role", ["reader", "writer", "pruner", "collector"])
def test_the_commands_for_gcs_are_a_script_that_grants_no_overwriting(ask, role):
    pytest.importorskip("gcsfs")
    answer = ask("policy", "--store", "gs://bucket/it's", "--role", role)
    assert answer.code == 0, answer.err
    subprocess.run(["bash", "-n", "-c", answer.out], check=True)
    conditions = [json.loads(line)["expression"] for line in answer.out.splitlines() if line.startswith("{")]
    assert conditions[0].startswith('resource.name.startsWith("projects/_/buckets/bucket/objects/it\'s/")')
    assert "objectListPrefix" in conditions[0]
    assert ("storage.objects.create" in answer.out) == (role != "reader")
    assert ("storage.objects.delete" in answer.out) == (role == "collector")
    assert "objects.update" not in answer.out
    if role == "collector":
        beginnings = ("blobs/", "artifacts/", "signatures/", "cache/", "protections/")
        names = [f'resource.name.startsWith("projects/_/buckets/bucket/objects/it\'s/{it}")' for it in beginnings]
        assert conditions[1] == " || ".join(names)


def test_a_policy_as_json(ask, work):
    answer = ask("policy", "--role", "reader", "--json")
    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert set(document) == {"format", "kind", "uri", "role", "text", "document", "notes"}
    assert (document["kind"], document["role"], document["document"]) == ("policy", "reader", None)
    assert document["text"].endswith(f"chmod -R g+rX,g-w,o-rwx {work}/store")


def test_an_unknown_role_is_a_wrong_call(ask):
    assert ask("policy", "--role", "owner").code == 2
