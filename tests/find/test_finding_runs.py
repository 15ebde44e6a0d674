"""Runs are listed, asked for by conditions, compared, and have series of metrics."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from metamlflow.errors import DamagedRecordWarning, InvalidInputError, LineageWarning, RunNotFoundError
from metamlflow.model.runs import MAX_POINTS, MAX_SERIES, MAX_STEP, MetricSeries


@pytest.fixture
def ran(client):
    """Three runs: two that ended well, and one that failed."""
    client.register_artifact("data", b"x")
    for rate in (0.1, 0.2):
        with client.run("train", params={"rate": rate, "steps": 2**60}) as run:
            client.get_artifact("data").read_bytes()
            run.log_metrics(loss=rate / 2, nan=math.nan)
            client.register_artifact("model", b"%f" % rate, "model")
    with pytest.raises(ZeroDivisionError), client.run("evaluate"):
        _ = 1 / 0
    return client


def end_of(raw, run_id: str) -> dict:
    return json.loads((raw.root / f"runs/{run_id}/end.json").read_bytes())


WHERE = {
    "outcome = 'failed'": ["evaluate"],
    "error_type = 'ZeroDivisionError'": ["evaluate"],
    "metrics.loss < 0.06": ["train"],
    "not metrics.loss < 0.06": ["train"],  # of the failed one it cannot be told
    "params.rate in [0.1, 0.2]": ["train", "train"],
    "params.steps = 1152921504606846976": ["train", "train"],
    "metrics.nan > 0": [],
    "input = 'data@1'": ["train", "train"],
    "output = 'model' and output != 'model@1'": ["train"],
    "input = null": ["evaluate"],
    "name matches 'ev*'": ["evaluate"],
    "started_at > '2020-01-01' and ended_at < '2100-01-01'": ["evaluate", "train", "train"],
    "ended_at = null": [],
}


@pytest.mark.parametrize("where", WHERE)
def test_runs_are_found_by_conditions(ran, where):
    assert [record.start.name for record in ran.runs(where=where)] == WHERE[where]


def test_they_are_listed_the_latest_first_and_as_rows(ran):
    runs = ran.runs()
    assert [record.start.name for record in runs] == ["evaluate", "train", "train"]
    assert runs.rows()[1]["params.rate"] == 0.2
    assert runs.rows()[2]["outputs"] == ["model@1"]
    assert [run["outcome"] for run in runs.to_json()] == ["failed", "finished", "finished"]
    json.dumps(runs.to_json(), allow_nan=False)
    assert len(ran.runs("train")) == 2
    assert len(runs[1:]) == 2
    assert ran.runs("nobody").rows() == []


def test_a_run_under_way_is_unfinished(ran):
    with ran.run("now"):
        assert [record.start.name for record in ran.runs(where="outcome = 'unfinished'")] == ["now"]


def test_they_are_an_arrow_table(ran):
    pytest.importorskip("pyarrow")
    table = ran.runs().to_arrow()
    assert table["outcome"].to_pylist() == ["failed", "finished", "finished"]
    assert json.loads(table["params"][1].as_py()) == {"rate": 0.2, "steps": 2**60}
    assert ran.runs("nobody").to_arrow().num_rows == 0


def test_a_wrong_condition_is_refused_with_its_place(ran):
    with pytest.raises(InvalidInputError, match="where: unknown field 'loss'"):
        ran.runs(where="loss < 1")


def test_a_run_with_a_damaged_record_hides_no_other(ran, raw):
    damaged = ran.runs()[1].start.run_id
    raw.overwrite(raw.root / f"runs/{damaged}/end.json", b"{}")
    with pytest.warns(DamagedRecordWarning, match=damaged):
        assert [record.start.name for record in ran.runs()] == ["evaluate", "train"]


def test_two_runs_are_compared(ran):
    failed, second, first = ran.runs()
    compared = ran.compare_runs(first.start.run_id, second)
    assert ("params.rate", 0.1, 0.2) in compared.changed
    assert ("outputs", ["model@1"], ["model@2"]) in compared.changed
    assert "params.steps" not in {fact for fact, _, _ in compared.changed}
    assert "* params.rate: 0.1 | 0.2" in str(compared).splitlines()
    assert ("error_type", "ZeroDivisionError", None) in ran.compare_runs(failed, first).rows
    json.dumps(ran.compare_runs(failed, first).to_json(), allow_nan=False)
    with pytest.raises(RunNotFoundError):
        ran.compare_runs(first, "0" * 32)


def test_texts_of_strangers_are_shown_as_text(client):
    evil = "<script>alert(1)</script>\x1b[2J\n"
    for _ in range(2):
        with client.run(evil, params={evil: evil}) as run:
            run.log_metric(evil, 1.0)
    runs = client.runs()
    compared = client.compare_runs(*runs)
    for html in (runs._repr_html_(), compared._repr_html_(), runs[0]._repr_html_()):
        assert "<script>" not in html
        assert "\x1b" not in html
    assert "\x1b" not in str(compared)
    assert len(str(compared).splitlines()) == 1 + len(compared.rows)


# --- series -----------------------------------------------------------------------------------------------------------


def test_a_series_is_stored_with_the_end_and_its_last_value_is_the_metric(client, raw):
    with client.run("train") as run:
        for step, loss in ((7, 0.5), (3, 0.9), (7, 0.4)):
            run.log_metric("loss", loss, step=step)
        run.log_metric("loss", 0.3)
        run.log_metric("$odd", math.nan)
        run.log_metrics(accuracy=0.9)
    record = client.get_run(run.id)
    assert record.end.series["loss"] == ((3, 0.9), (7, 0.4), (8, 0.3))
    ((step, value),) = record.end.series["$odd"]
    assert step == 0
    assert math.isnan(value)
    assert record.end.metrics["loss"] == 0.3
    assert end_of(raw, run.id)["series"] == {
        "$odd": {"steps": [0], "values": [{"$float": "NaN"}]},
        "loss": {"steps": [3, 7, 8], "values": [0.9, 0.4, 0.3]},
    }


def test_a_run_without_series_has_no_field_for_them(ran, raw):
    assert "series" not in end_of(raw, ran.runs()[1].start.run_id)


@pytest.mark.full
def test_a_long_series_is_thinned_and_keeps_its_first_and_last_point():
    series = MetricSeries()
    for step in range(5_000):
        series.log(step / 2, None)
        steps = [at for at, _ in series.points()]
        assert len(steps) <= MAX_POINTS
        assert (steps[0], steps[-1]) == (0, step)
    assert len(steps) > MAX_POINTS // 4
    assert all(value == at / 2 for at, value in series.points())


@pytest.mark.parametrize("order", ["ascending", "descending", "at random", "every thousandth", "one far away"])
def test_a_long_series_is_spread_evenly_over_its_steps(order):
    steps = list(range(50_000))
    if order == "descending":
        steps.reverse()
    elif order == "at random":
        random.Random(7).shuffle(steps)
    elif order == "every thousandth":
        steps = [step * 1_000 for step in steps]
    series = MetricSeries()
    for step in [2**50, *steps] if order == "one far away" else steps:
        series.log(float(step), step)
    kept = [step for step, _ in series.points() if step < 2**50]
    assert (kept[0], kept[-1]) == (0, max(steps)) or order == "one far away"
    gaps = [after - before for before, after in itertools.pairwise(kept)]
    assert max(gaps) <= max(steps) / 200
    assert all(value == step for step, value in series.points())


def test_threads_log_into_one_series(client):
    with client.run("train") as run:

        def work() -> None:
            for _ in range(3_000):
                run.log_metric("loss", 1.0)

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(work) for _ in range(4)]:
                future.result()
    assert client.get_run(run.id).end.series["loss"][-1] == (11_999, 1.0)


NAN = math.nan
PAIRS = {
    "NaN and NaN": (NAN, -NAN, True),
    "NaN in lists": ([1.0, NAN], [1.0, NAN], True),
    "NaN in mappings of lists": ({"a": [NAN], "b": 1}, {"b": 1, "a": [NAN]}, True),
    "NaN and a number": (NAN, 0.0, False),
    "NaN and none": (NAN, None, False),
    "two infinities": (math.inf, -math.inf, False),
    "true and 1": (True, 1, False),
    "true and 1 in lists": ([True], [1], False),
    "a list and a longer one": ([NAN], [NAN, NAN], False),
    "a mapping and another name": ({"a": NAN}, {"b": NAN}, False),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("kind", ["params", "metrics"])
def test_a_comparison_shows_as_changed_what_differs_and_nothing_else(client, kind, pair):
    *values, same = PAIRS[pair]
    runs = []
    for value in values:
        with client.run("train", params={"x": value} if kind == "params" else None) as run:
            run.log_metrics({"x": value} if kind == "metrics" else {})
        runs.append(run.id)
    compared = client.compare_runs(*runs)
    assert (f"{kind}.x" in [name for name, *_ in compared.changed]) is not same
    (line,) = [line for line in str(compared).splitlines() if f" {kind}.x:" in line]
    assert line.startswith("*") is not same
    assert compared._repr_html_().count(">*</td>") == len(compared.changed)


BEYOND = {
    "the step after the largest": (MAX_STEP, None),
    "the step after one that came before others": (MAX_STEP, 3, None),
    "one given beyond": (MAX_STEP, MAX_STEP + 1),
}


@pytest.mark.parametrize("steps", BEYOND)
def test_a_step_beyond_the_largest_is_refused_and_the_run_stays_readable(client, steps):
    *given, last = BEYOND[steps]
    with client.run("train") as run:
        for step in given:
            run.log_metric("loss", 1.0, step=step)
        for _ in range(2):
            with pytest.raises(InvalidInputError, match="a step is a whole number from 0 to"):
                run.log_metric("loss", 2.0, step=last)
        run.log_metric("accuracy", 0.5)
    (found,) = client.runs()
    assert found.end.series == {"loss": tuple((step, 1.0) for step in sorted(given)), "accuracy": ((0, 0.5),)}
    assert found.end.metrics == {"loss": 1.0, "accuracy": 0.5}


LOGGING = {
    "log_metric": lambda run: run.log_metric("loss", 2.0),
    "log_metrics": lambda run: run.log_metrics(loss=2.0),
    "note": lambda run: run.note("late"),
}


@pytest.mark.parametrize("call", LOGGING)
def test_what_is_logged_after_the_end_is_warned_of(client, call):
    with client.run("train") as run:
        run.log_metric("loss", 1.0)
    with pytest.warns(LineageWarning, match="will not be recorded: the run has ended"):
        LOGGING[call](run)
    assert client.get_run(run.id).end.metrics == {"loss": 1.0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("call", LOGGING)
def test_what_a_forked_child_logs_is_warned_of(client, call):
    with client.run("train") as run:
        run.log_metric("loss", 1.0)
        if (child := os.fork()) == 0:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                LOGGING[call](run)
            os._exit(0 if any("its parent stores the run" in str(one.message) for one in caught) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert client.get_run(run.id).end.metrics == {"loss": 1.0}


def test_the_number_of_series_is_bounded(client):
    with client.run("train") as run:
        for number in range(MAX_SERIES):
            run.log_metric(f"m{number}", 1)
        with pytest.raises(InvalidInputError, match="at most 100 series"):
            run.log_metric("more", 1)
        run.log_metric("m0", 2)
    assert len(client.get_run(run.id).end.series) == MAX_SERIES


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [("loss", "1", 0), ("loss", True, 0), ("loss", None, 0), ("loss", [1], 0), ("", 1, 0), (7, 1, 0), ("loss", 1, -1),
     ("loss", 1, 0.5), ("loss", 1, True), ("loss", 1, 2**53)],
)  # fmt: skip
def test_what_is_no_number_or_no_step_is_refused(client, name, value, step):
    with client.run("train") as run, pytest.raises(InvalidInputError):
        run.log_metric(name, value, step=step)


def test_numbers_of_numpy_are_logged(client):
    numpy = pytest.importorskip("numpy")
    with client.run("train") as run:
        run.log_metric("loss", numpy.float32(0.5), step=numpy.int64(3))
    assert client.get_run(run.id).end.series == {"loss": ((3, 0.5),)}


def test_the_page_of_a_lineage_shows_the_ends_of_a_series(client, tmp_path):
    with client.run("train") as run:
        for step in range(4):
            run.log_metric("loss", 1 / (step + 1), step=step)
        model = client.register_artifact("model", b"x", "model")
    client.lineage(model).to_html(tmp_path / "page.html")
    assert "1.0 at step 0 to 0.25 at step 3, 4 points" in (tmp_path / "page.html").read_text("utf-8")
