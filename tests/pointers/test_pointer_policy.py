"""A manifest names places, and only those that the reader's policy lets are opened: whichever call would open them."""

from __future__ import annotations

import pickle
import re
import sys
from datetime import UTC, datetime

import pytest

from metamlflow import MetaMLFlowClient, Pointer, migrate
from metamlflow.cli.rows import fact_rows
from metamlflow.data import Dataset
from metamlflow.errors import IntegrityError, InvalidInputError, MetaMLFlowError, PointerPolicyError, StoreFormatError
from metamlflow.format.layout import relocation_key
from metamlflow.store.catalog.store import Store
from metamlflow.testing import MemoryBackend, MemoryBucket
from metamlflow.testing.memory import StoredObject

SECRET = b"id,amount\n1,SECRET\n"


@pytest.fixture
def secret(tmp_path):
    """A file of the reader's own."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret.csv").write_bytes(SECRET)
    return folder / "secret.csv"


@pytest.fixture
def bucket():
    return MemoryBucket()


@pytest.fixture
def reader(bucket):
    """Returns a client on the bucket, as one elsewhere would have it."""

    def client(policy=None):
        backend = MemoryBackend(bucket)
        return MetaMLFlowClient._on(Store(backend.url, {}, backend=backend, pointer_policy=policy))

    return client


@pytest.fixture
def planted(bucket, reader, secret):
    """Plants an artifact that leads to a URI, as whoever can write to the bucket may."""

    def plant(uri, *, evidence="full"):
        reader({"file": "allow"}).register_pointer("evil", secret, evidence=evidence)
        change(bucket, secret.as_uri(), uri)
        try:
            return reader().get_artifact("evil")
        except StoreFormatError as error:  # a forger writes the digest that belongs there
            change(bucket, *reversed(re.findall(r"sha256:[0-9a-f]{64}", str(error))))
            return reader().get_artifact("evil")

    return plant


def change(bucket, old, new):
    changed = 0
    for key, stored in list(bucket.objects.items()):
        if old.encode() in stored.data:
            bucket.objects[key] = StoredObject(stored.data.replace(old.encode(), new.encode()), stored.modified)
            changed += 1
    assert changed


OPENED: list[str] = []
_watching: list[bool] = []


def _watch(event, arguments):
    if _watching and event in {"open", "os.scandir", "os.listdir", "subprocess.Popen", "socket.connect"}:
        OPENED.append(f"{event} {arguments!r}")


sys.addaudithook(_watch)


@pytest.fixture
def opened():
    """What this process opens from now on."""
    OPENED.clear()
    _watching.append(True)
    yield OPENED
    _watching.clear()


CALLS = {
    "read_bytes": lambda artifact, _: artifact.read_bytes(),
    "open": lambda artifact, _: artifact.open().read(),
    "local_path": lambda artifact, _: artifact.local_path(),
    "download": lambda artifact, folder: artifact.download(folder / "out"),
    "refresh": lambda artifact, _: artifact.refresh(),
    "strengthen": lambda artifact, _: artifact.strengthen("full"),
    "strengthen to what servers hold": lambda artifact, _: artifact.strengthen("checksum"),
    "materialize": lambda artifact, _: artifact.materialize(),
    "a frame": lambda artifact, _: Dataset(artifact).to_pandas(),
    "an Arrow table": lambda artifact, _: Dataset(artifact).to_arrow(),
}
URIS = {
    "a file": "file://{path}",
    "an alias of files": "local://{path}",
    "an archive": "zip://{path}",
    "a cache of files": "filecache://{path}",
    "a cache in memory": "simplecache://{path}",
    "memory": "memory://{path}",
    "a reference": "reference://{path}",
    "a repository": "git://{path}",
    "a terminal": "ssh://host{path}",
    "an FTP server": "ftp://host{path}",
    "GitHub": "github://owner{path}",
    "a hub": "hf://datasets{path}",
    "a scheme that nobody knows": "x-third-party://host{path}",
    "this machine's server": "http://127.0.0.1:1{path}",
    "the cloud's metadata": "http://169.254.169.254{path}",
}


@pytest.mark.parametrize("uri", URIS.values(), ids=URIS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_call_opens_what_the_policy_does_not_allow(planted, secret, bucket, tmp_path, opened, call, uri):
    strengthens = call in (CALLS["strengthen"], CALLS["strengthen to what servers hold"])
    artifact = planted(uri.format(path=secret), evidence="stat" if strengthens else "full")
    opened.clear()
    with pytest.raises(PointerPolicyError, match="METAMLFLOW_POINTER_POLICY"):
        call(artifact, tmp_path)
    assert not [what for what in opened if str(secret) in what or "connect" in what or "Popen" in what]
    assert not any(SECRET in stored.data for stored in bucket.objects.values())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("level", ["stat", "checksum", "full"])
def test_a_verification_opens_nothing_either_and_says_that_it_knows_nothing(planted, secret, opened, level):
    artifact = planted(secret.as_uri())
    opened.clear()
    report = artifact.verify(level)
    assert [finding.status for finding in report.findings] == ["unreadable"]
    assert "is not opened" in report.findings[0].actual
    assert not [what for what in opened if str(secret) in what]


@pytest.mark.parametrize("rule", ["*", "file", "{folder}", "{file}"])
def test_a_verification_tells_which_rule_refused_and_calls_nothing_damaged(reader, secret, rule):
    rule = rule.format(folder=secret.parent.as_uri(), file=secret.as_uri())
    reader({"file": "allow"}).register_pointer("pointer", secret, evidence="full")
    report = reader({rule: "refuse"}).get_artifact("pointer").verify("full")
    assert f"the pointer policy refuses {rule!r}" in report.findings[0].actual
    with pytest.raises(IntegrityError, match="could not be verified") as caught:
        report.raise_if_failed()
    assert rule in caught.value.message
    assert "Restore" not in caught.value.hint


def test_a_prefix_and_a_glob_are_not_listed(bucket, reader, secret, opened):
    writer = reader({"file": "allow"})
    writer.register_pointer("prefix", secret.parent)
    writer.register_pointer("glob", f"{secret.parent}/*.csv")
    opened.clear()
    for name in ("prefix", "glob"):
        with pytest.raises(PointerPolicyError):
            reader().get_artifact(name).refresh()
    assert not [what for what in opened if str(secret.parent) in what]


@pytest.mark.parametrize("uri", [uri for name, uri in URIS.items() if name != "memory"])
def test_what_cannot_be_read_back_is_not_registered(reader, bucket, secret, uri):
    client = reader()
    for register in (
        lambda: client.register_pointer("own", uri.format(path=secret)),
        lambda: client.register_artifact("own", {"x": Pointer(uri.format(path=secret))}),
    ):
        with pytest.raises(PointerPolicyError, match="pointer_policy"):
            register()
    assert not [key for key in bucket.objects if key.startswith("artifacts/")]


def test_a_relocation_leads_nowhere_else(bucket, reader, secret, tmp_path):
    allowed = tmp_path / "lake"
    allowed.mkdir()
    (allowed / "data.csv").write_bytes(SECRET)
    policy = {allowed.as_uri(): "allow"}
    reader(policy).register_pointer("lake", allowed / "data.csv", evidence="full")
    with pytest.raises(MetaMLFlowError, match="not opened"):
        reader(policy).relocate(allowed / "data.csv", secret)
    reader({"file": "allow"}).relocate(allowed / "data.csv", secret)
    with pytest.raises(PointerPolicyError):
        reader(policy).get_artifact("lake").read_bytes()


def test_a_migration_copies_nothing_that_its_reader_may_not_open(planted, reader, secret, tmp_path):
    planted(secret.as_uri())
    assert not migrate(reader(), tmp_path / "copy", copy_pointers=tmp_path / "lake").ok
    assert not [file for file in tmp_path.rglob("lake/**/*") if file.is_file()]


@pytest.mark.parametrize("way", ["migrate", "dry run", "the place alone"])
def test_a_pointer_gains_nothing_by_a_migration_to_a_local_store(planted, bucket, reader, secret, tmp_path, way):
    planted(secret.as_uri())
    if way == "the place alone":  # its entries lead to the bucket, what `refresh` looks at does not
        change(bucket, f'"uri":"{secret.as_uri()}"}}],"files"', '"uri":"s3://lake/secret.csv"}],"files"')
    report = migrate(reader(), tmp_path / "copy", dry_run=way == "dry run")
    assert not report.ok
    (version,) = report.versions
    assert version.status == "failed"
    assert "pointer_policy" in version.reason
    if way != "dry run":
        assert MetaMLFlowClient(tmp_path / "copy").list_artifacts() == []
    allowing = reader({secret.parent.as_uri(): "allow"})
    assert migrate(allowing, tmp_path / "allowed").ok
    assert MetaMLFlowClient(tmp_path / "allowed").get_artifact("evil").storage_path


def test_a_relocation_gains_nothing_by_it_either(bucket, reader, secret, tmp_path):
    source = MetaMLFlowClient(tmp_path / "source")
    there = secret.parent.parent / "there"
    there.mkdir()
    (there / "secret.csv").write_bytes(SECRET)
    reader({"file": "allow"}).register_pointer("evil", secret, evidence="full")
    reader({"file": "allow"}).relocate(secret.parent.as_uri(), there.as_uri())
    narrow = reader({secret.parent.as_uri(): "allow"})
    report = migrate(narrow, source)
    assert any("relocation" in problem and "pointer_policy" in problem for problem in report.problems)
    assert source.get_artifact("evil").pointed[0].uri == secret.as_uri()


def test_no_path_is_handed_out_that_the_policy_does_not_let_be_opened(planted, bucket, reader, secret):
    artifact = planted(secret.as_uri())
    for use in (
        lambda path: reader().register_artifact("leak", path),
        lambda path: Dataset.register(reader(), "x", path),
    ):
        with pytest.raises(PointerPolicyError):
            use(artifact.storage_path)
    assert not any(SECRET in stored.data for stored in bucket.objects.values())
    assert secret.as_uri() in artifact._repr_html_()  # where it leads is shown, to whoever looks
    assert artifact.to_json()["storage_path"] is None
    assert dict(fact_rows(artifact))["points to"] == secret.as_uri()
    assert reader({"file": "allow"}).get_artifact("evil").storage_path == secret.as_uri()


def test_a_migration_copies_nothing_to_where_the_destination_would_not_read(reader, secret, tmp_path):
    source = MetaMLFlowClient(tmp_path / "source")
    source.register_pointer("own", secret, evidence="full")
    with pytest.raises(PointerPolicyError):
        migrate(source, reader(), copy_pointers=tmp_path / "lake")
    assert migrate(source, reader({tmp_path.as_uri(): "allow"}), copy_pointers=tmp_path / "lake")


def test_a_local_store_points_to_local_files_and_to_nothing_stranger(tmp_path, secret):
    client = MetaMLFlowClient(tmp_path / "store")
    assert client.register_pointer("own", secret).read_bytes() == SECRET
    for uri in (f"local://{secret}", "memory://x/y", "http://localhost:1/x", "ftp://host/x"):
        with pytest.raises(PointerPolicyError):
            client.register_pointer("own", uri)


def test_a_policy_travels_with_its_client_and_comes_from_the_environment(tmp_path, secret, monkeypatch):
    MetaMLFlowClient(tmp_path / "store").register_pointer("own", secret)
    narrow = MetaMLFlowClient(tmp_path / "store", pointer_policy={"file": "refuse"})
    for artifact in (narrow.get_artifact("own"), pickle.loads(pickle.dumps(narrow)).get_artifact("own")):
        with pytest.raises(PointerPolicyError):
            artifact.read_bytes()
    monkeypatch.setenv("METAMLFLOW_POINTER_POLICY", '{"*": "refuse"}')
    with pytest.raises(PointerPolicyError):
        MetaMLFlowClient(tmp_path / "store").get_artifact("own").read_bytes()
    assert MetaMLFlowClient(tmp_path / "store", pointer_policy={}).get_artifact("own").read_bytes() == SECRET


@pytest.mark.parametrize("policy", [["file"], {"file": True}, {"file": "yes"}, {"": "allow"}, {1: "allow"}, "file"])
def test_a_policy_that_says_something_else_is_refused(tmp_path, policy):
    with pytest.raises(InvalidInputError, match="'allow' or 'refuse'"):
        MetaMLFlowClient(tmp_path / "store", pointer_policy=policy)


def test_an_artifact_is_shown_though_a_relocation_is_damaged(planted, bucket, reader, secret):
    artifact = planted(secret.as_uri())
    bucket.objects[relocation_key(1)] = StoredObject(b"{}", datetime.now(UTC))
    assert "unknown" in artifact._repr_html_()
    with pytest.raises(StoreFormatError):
        _ = artifact.storage_path
