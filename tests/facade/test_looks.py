"""What is shown of a value: the gist in one line, and a table in a notebook that runs nothing, whatever it holds."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest

from metamlflow import Dataset, MetaMLFlowClient, Pointer, compare, migrate
from metamlflow._looks import bytes_text, grid_of, one_line, table_of
from metamlflow.errors import IntegrityError
from metamlflow.migration import MigrationReport, VersionReport
from metamlflow.model.findings import Finding
from metamlflow.model.runs import RunEnd, RunRecord, RunStart
from metamlflow.store.catalog.history import History, HistoryEntry
from metamlflow.store.repair.report import RepairedObject, RepairReport
from metamlflow.store.verify.report import UnreadableVersion, Verification, VerifyReport

ATTACK = "<script>alert('x')</script>\"&\n\x1b[31m\u202e"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def things(client, tmp_path, monkeypatch):
    """One of each thing that a client hands out, with hostile texts wherever a text may be hostile."""
    monkeypatch.setenv("METAMLFLOW_USER", ATTACK)
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "day.csv").write_bytes(b"a\n1\n")
    raw = client.register_artifact("raw", {"<b>x": b"1"}, metadata={ATTACK: ATTACK})
    lake = client.register_pointer("lake/rides", tmp_path / "lake")
    with client.run(ATTACK, params={"p": ATTACK}) as run:
        run.log_metrics({"m": 1.5})
        run.note(ATTACK)
        raw.read_bytes()
        made = client.register_artifact("made", b"m", inputs={ATTACK: raw})
    data = Dataset.open(client, "lake/rides")
    (tmp_path / "lake" / "day.csv").write_bytes(b"a\n1\n2\n")
    other = MetaMLFlowClient(tmp_path / "other")
    MetaMLFlowClient(tmp_path / "fourth").create_store()
    reports, failed, refresh = client.verify_all(level="stat"), lake.verify("stat"), lake.refresh()
    return {
        "client": client,
        "artifact": made,
        "dataset": data,
        "history": client.history("raw"),
        "record": client.get_run(run.id),
        "run": run,
        "report": made.verify(),
        "reports": reports,
        "failed": failed,
        "migration": migrate(client, other),
        "plan": migrate(client, MetaMLFlowClient(tmp_path / "third"), dry_run=True),
        "lineage": client.lineage("made"),
        "node": client.lineage("made").nodes[0],
        "refresh": refresh,
        "changes": refresh.changes,
        "notes": client.annotate(made, title="<b>\u202e</b>", description=ATTACK, tags={"<i>": ATTACK}),
        "no notes": client.notes("raw"),
        "protection": client.protect("raw@1", "<b>"),
        "policy": client.set_policy("**", where='metadata["<b>"] == "\u202e"', note="<i>"),
        "prune": client.prune("**", where='metadata["<b>"] == "x"', dry_run=True),
        "decision": client.prune("raw", keep_last=1, dry_run=True).kept[0],
        "input": made.inputs[0],
        "entry": made.entries[0],
        "pointer entry": data.artifact.entries[0],
        "evidence": data.artifact.entries[0].evidence,
        "entries": made.entries,
        "pointer": Pointer("s3://key:secret@bucket/x"),
        "diff": client.diff("raw@1", made),
        "diff of files": client.diff("raw@1", made).files,
        "diff of inputs": client.diff("raw@1", made).inputs.added,
        "diff of metadata": client.diff("raw@1", made).metadata,
        "update plan": client.update_metadata("raw@1", {ATTACK: 1}, note=ATTACK, dry_run=True),
        "copy plan": client.copy("raw@1", "copied", dry_run=True),
        "difference": compare(client, MetaMLFlowClient(tmp_path / "fourth"))[0],
    }


SAID = {
    "client": r"<MetaMLFlowClient file:///.*>",
    "history": r"<History of raw: 1 version, ok>",
    "record": r"<RunRecord <script>.*: finished after \d\.\d s, 1 input, 1 output>",
    "run": r"<Run <script>.*: ended, 1 input, 1 output>",
    "report": r"<VerifyReport made@1: ok, 1 file, level full>",
    "reports": r"<Verification failed: 1 of 3 versions, 3 files>",
    "failed": r"<VerifyReport lake/rides@1: failed: 1 modified of 1 file, level stat>",
    "migration": r"<MigrationReport ok: 4 migrated; .* new>",
    "plan": r"<MigrationReport plan: 4 planned; .* new>",
    "lineage": r"<Lineage of made@1: 2 artifacts, 2 links>",
    "node": r"<Node artifact 'made@1'>",
    "refresh": r"<Refresh of lake/rides, now @2: 0 added, 0 removed, 1 modified>",
    "diff": r"<ArtifactDiff raw@1 -> made@1: 1 fact, 1 value>",
    "diff of files": r"<1 added, 1 removed, 0 modified, 0 renamed>",
    "diff of inputs": r"<1: 'raw as <script>.*'>",
    "diff of metadata": r"<0 added, 1 removed, 0 changed>",
    "update plan": r"<VersionPlan: raw@2 would be published with the content of raw@1>",
    "copy plan": r"<VersionPlan: copied@1 would be published with the content of raw@1>",
    "notes": r"<Notes on made@1: '<b>\\u202e</b>', described, 1 tag; 2\d{3}-.* UTC>",
    "no notes": r"<Notes on raw: none>",
    "input": r"<Input raw@1 as '<script>.*', manifest sha256:[0-9a-f]{12}…>",
    "entry": r"<Entry 'made': 1 byte, sha256 [0-9a-f]{12}…>",
    "pointer entry": r"<PointerEntry 'day\.csv': 4 bytes at file:///.*, stat>",
    "evidence": r"<Evidence stat: size and time>",
    "entries": r"<1 entries: 'made'>",
    "pointer": r"Pointer\('s3://…@bucket/x'\)",
}
FREE = {"client", "difference", "artifact", "dataset"}  # hold a place of this machine, a key, a time


def test_each_thing_says_its_gist_in_one_line(things):
    for name, thing in things.items():
        text = repr(thing)
        assert re.fullmatch(SAID.get(name, ".*"), text), (name, text)
        assert text.isprintable(), name
        assert len(text) <= 100 or name in FREE, (name, len(text), text)


def test_no_page_of_a_notebook_can_be_made_to_run_anything(things):
    shown = {name: thing._repr_html_() for name, thing in things.items() if hasattr(thing, "_repr_html_")}
    assert {"artifact", "dataset", "history", "record", "run", "report", "reports", "failed", "migration"} < set(shown)
    for name, page in shown.items():
        assert "<script" not in page, name
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert set(re.findall(r"<(\w+)", page)) <= {"table", "caption", "b", "tr", "th", "td"}, name
    assert html.escape("<script>alert('x')") in shown["record"]
    assert html.escape("<script>alert('x')") in shown["artifact"]


def test_a_run_says_how_far_it_is(client):
    run = client.run("train")
    assert repr(run) == "<Run train: not begun>"
    with run:
        client.register_artifact("a", b"1")
        assert repr(run) == "<Run train: under way, 0 inputs, 1 output>"
    assert repr(run) == "<Run train: ended, 0 inputs, 1 output>"
    assert run.id in run._repr_html_()


def test_a_run_that_was_handed_over_is_shown_without_a_request(client, store_folder):
    with client.run("train") as run:
        assert run.token
        (store_folder / "runs").rename(store_folder / "elsewhere")
        assert repr(run) == "<Run train: under way, 0 inputs, 0 outputs>"
        (store_folder / "elsewhere").rename(store_folder / "runs")


def run_record(end: RunEnd | None) -> RunRecord:
    start = RunStart(run_id="0" * 32, record_id="1", name="train\nmore", started_at=NOW)
    return RunRecord(start, (), end)


def test_what_went_wrong_is_said_first():
    entry = HistoryEntry(1, "sha256:1", None, None, available=False)
    history = History("a", (entry,), (IntegrityError("a@2 is missing"),))
    assert repr(history) == "<History of a: 1 version, 1 pruned, failed: 1 problem>"
    assert "a@2 is missing" in history._repr_html_()
    missing = Finding("x", "missing", "blobs/1", "sha256:1", "missing")
    report = VerifyReport("a", 1, "full", 3, 0, (missing, missing))
    assert repr(report) == "<VerifyReport a@1: failed: 2 missing of 3 files, level full>"
    damaged = UnreadableVersion("a@2", IntegrityError("the manifest is damaged"))
    good = [VerifyReport("b", n, "full", 1, 1, ()) for n in range(1000)]
    many = Verification((*good, report), (damaged,))
    assert repr(many) == "<Verification failed: 1 of 1,001 versions, 1,003 files, 1 record damaged or missing>"
    page = many._repr_html_()
    assert page.index("the manifest is damaged") < page.index("sha256:1") < page.index("b@1<")
    assert "and 953 more" in page
    migration = MigrationReport("s3://a", "s3://b", versions=[VersionReport("a", 1, "migrated")] * 60)
    migration.versions.append(VersionReport("z", 9, "conflict", reason="<b>another</b>"))
    assert repr(migration) == "<MigrationReport failed: 1 conflict, 60 migrated; 0 bytes new>"
    assert migration._repr_html_().index("z@9") < migration._repr_html_().index("a@1")
    assert "&lt;b&gt;another" in migration._repr_html_()
    unfinished = run_record(None)
    assert repr(unfinished) == r"<RunRecord train\nmore: begun 2026-01-02 03:04 UTC, 0 inputs, not ended>"
    end = RunEnd(record_id="2", ended_at=NOW + timedelta(seconds=90), outcome="failed", error_type="ValueError")
    assert "failed with ValueError after 90.0 s" in repr(run_record(end))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1500, "1.5 kB"), (10**6, "1.0 MB"), (2**62, "4.6 EB")],
)
def test_a_size_is_read_by_people(size, text):
    assert bytes_text(size) == text


def test_long_texts_are_cut_and_odd_characters_escaped():
    assert one_line("x" * 1000, 10) == "x" * 9 + "…"
    assert one_line("a\nb\u202e") == r"a\nb\u202e"
    assert len(table_of("t", {"long": "x" * 100_000})) < 1000
    assert "and 50 more" in grid_of("t", ("n",), [(n,) for n in range(100)])


def test_a_repair_says_what_stays_damaged_first():
    good, bad = RepairedObject("a", "blobs/1"), RepairedObject("<b>", "blobs/2", "no copy")
    assert repr(RepairReport("a", 1, (good,), ())) == "<RepairReport a@1: ok: 1 repaired>"
    report = RepairReport("a", 1, (good,), (bad,))
    assert repr(report) == "<RepairReport a@1: failed: 1 damaged, 1 repaired>"
    page = report._repr_html_()
    assert page.index("no copy") < page.index("blobs/1")
    assert "&lt;b&gt;" in page
