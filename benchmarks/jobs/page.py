"""The Markdown page of a run, made from its raw data alone, so that it can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.figures import Figures, Results, Spread
from jobs.plan import TINY

MAIN = ("W1", "again", "W2", "W3", "W4", "W5")
RATIOS = ("s5cmd", "pins", "DVC")
EMPTY = ""


def render(document: dict[str, Any], *, plot: str, script: str) -> str:
    """Return the page.

    Args:
        document: the raw data.
        plot: the plot's file name.
        script: how the page names the script, a link or its path.
    """
    results = Results(document)
    parts = [
        _head(document, script),
        *_overview(results, plot),
        *_details(results),
        *_tiny(results),
        *_many(results),
        _method(document),
        *_notes(results),
    ]
    return "\n\n".join(parts) + "\n"


def titles(document: dict[str, Any]) -> dict[str, str]:
    """Return what each job is, in a few words."""
    sizes = document["sizes"]
    files = f"{sizes['files']:,} files of {sizes['file_bytes'] / 1000:g} KB"
    large = f"{sizes['large_mib'] / 1024:g} GiB" if sizes["large_mib"] >= 1024 else f"{sizes['large_mib']} MiB"  # noqa: PLR2004 (MiB)
    return {
        "W1": f"a folder of {files} is published",
        "again": "the unchanged folder is published once more",
        "W2": f"… with one of the {sizes['files']:,} files changed",
        "W3": "the folder is fetched into an empty one",
        "W4": f"one file of {large} is published",
        "W5": f"the file of {large} is fetched",
    }


def _head(document: dict[str, Any], script: str) -> str:
    machine, results = document["machine"], Results(document)
    changed = " with changes that are not committed" if machine["changed"] else ""
    commit = f"commit {machine['commit']}{changed}" if machine["commit"] else "of a package from elsewhere"
    early = [f"The run ended early: {document['ended_early']}."] if document["ended_early"] else []
    warnings = "".join(f"\n\n**{warning}**" for warning in document["warnings"] + early)
    return (
        "# Whole jobs, side by side\n\n"
        f"A run of {script} on {machine['started'][:10]}, {commit}, on a machine with {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}, against "
        f"{document['server']}. Ratios carry over to other machines; seconds do not.\n\n"
        "All tools took part in one run, in turn: a round is every job by every tool, and each round began with "
        f"another tool. Rounds: {document['rounds_done']}. The highest load of the machine in the minute before a "
        f"measurement: {results.highest_load():g}."
        f"{warnings}"
    )


# --- tables -----------------------------------------------------------------------------------------------------------


def _overview(results: Results, plot: str) -> Iterator[str]:
    keys = [(job, latency) for job in MAIN for latency in results.latencies(job)]
    if not keys:
        return
    heads = [_at(job, latency) for job, latency in keys]
    rows = [[tool, *(_least(results.of(tool, *key)) for key in keys)] for tool in results.tools]
    meaning = "\n".join(
        f"* {job}: {title}" for job, title in titles(results.document).items() if results.latencies(job)
    )
    yield f"## Wall seconds, the least of all rounds\n\n{meaning}\n\n{_table(['', *heads], rows)}"
    yield f"![Bars: wall seconds of each tool for each job]({plot})"
    others = [tool for tool in RATIOS if tool in results.tools]
    rows = [[f"÷ {tool}", *(_both_ratios(results, tool, *key) for key in keys)] for tool in others]
    if rows and results.ours in results.tools:
        text = f"{results.ours} divided by the other, wall (CPU), least by least; below 1 it is the better of the two"
        yield f"## Ratios\n\n{text}:\n\n{_table(['', *heads], rows)}"


def _details(results: Results) -> Iterator[str]:
    for job, title in titles(results.document).items():
        for latency in results.latencies(job):
            more = f", each answer {latency} ms later" if latency else ""
            rows = [row for tool in results.tools if (row := _row(results, tool, job, latency))]
            heads = ["", "wall s", "CPU s", "peak MiB", "requests", "ours ÷ it: wall", "CPU"]
            rounds = results.rounds(job)
            yield f"## {_at(job, latency)}: {title}{more}\n\nLeast / median of {rounds}:\n\n{_table(heads, rows)}"


def _row(results: Results, tool: str, job: str, latency: int) -> list[str] | None:
    figures = results.of(tool, job, latency)
    if figures is None:
        return None
    return [
        tool,
        _spread(figures.wall),
        _spread(figures.cpu),
        _spread(figures.peak, "{:.0f}"),
        _count(figures.requests),
        _ratio(results.ratio(tool, job, latency)),
        _ratio(results.ratio(tool, job, latency, quantity="cpu")),
    ]


def _tiny(results: Results) -> Iterator[str]:
    jobs = [job for job in TINY if results.latencies(job)]
    if not jobs:
        return
    rows = []
    for tool in results.tools:
        found = [results.of(tool, job) for job in jobs]
        if any(found):
            rows.append([tool, *(cell for figures in found for cell in _tiny_cells(figures))])
    heads = [cell for job in jobs for cell in (f"{job.removeprefix('tiny ')}, ms", "requests")]
    repeats = results.document["sizes"]["tiny_repeats"] * results.rounds(jobs[0])
    yield (
        "## One tiny artifact\n\n"
        "100 bytes are registered as the next version; the newest version is found; it is found and its content read. "
        "Each call finds a connection made and caches empty. metamlflow makes each with a new client, pins is told to "
        f"forget what it has listed and fetched. Least / median of {repeats}, and requests for each:\n\n"
        f"{_table(['', *heads], rows)}"
    )


def _many(results: Results) -> Iterator[str]:
    sizes = results.document["sizes"]
    counts = {"few": sizes["files"], "many": sizes["many_files"]}
    rows = []
    for tool in results.tools:
        for way in ("up", "down"):
            few, many = results.of(tool, f"few {way}"), results.of(tool, f"many {way}")
            if few and many:
                each = [found.wall.least / counts[name] for name, found in (("few", few), ("many", many))]
                times = [f"{seconds * 1e6:.0f}" for seconds in each]
                rest = [f"{each[1] / each[0]:.2f}", f"{many.wall.least:.2f}", _spread(many.peak, "{:.0f}")]
                rows.append([f"{tool}, {way}", *times, *rest, _count(many.requests)])
    if not rows:
        return
    heads = ["", *(f"µs a file of {count:,}" for count in counts.values()), "ratio", "wall s", "peak MiB", "requests"]
    yield (
        f"## {sizes['many_files']:,} files of {sizes['many_bytes'] / 1000:g} KB\n\n"
        f"Time for each file, against that of {sizes['files']:,} such files; the least of "
        f"{results.rounds('many up')} round(s):\n\n{_table(heads, rows)}"
    )


# --- words ------------------------------------------------------------------------------------------------------------


def _method(document: dict[str, Any]) -> str:
    ways: dict[str, list[str]] = {}
    for name, tool in document["tools"].items():
        ways.setdefault(tool["measured"], []).append(name)
    measured = "\n".join(f"* {', '.join(names)}: {way}." for way, names in ways.items())
    rows = [[name, _versions(tool["versions"])] for name, tool in document["tools"].items()]
    return (
        "## How it was measured\n\n"
        "Every run is a new process. Wall and CPU seconds (user and system, of the client alone) are of:\n\n"
        f"{measured}\n\n"
        "Peak memory is the resident size of the whole process at its highest, all libraries included. Input, output "
        f"and temporary files lie in {document['work']}. Requests are counted at the server, where it tells. Each "
        "series of jobs begins with an empty bucket or prefix and ends with a fetch whose every file is compared with "
        "the source by SHA-256: times are given only where that was right. This comparison is not timed; what a tool "
        "checks by itself is: metamlflow compares every byte that it fetches with the SHA-256 of when it was "
        "published.\n\n"
        "pins fetches into its cache. MLflow keeps its records in a SQLite file beside the artifacts. DVC works in a "
        "repository without git; publishing is `dvc add` and `dvc push`, fetching is `dvc pull` with nothing cached, "
        "called in one process: the start of the `dvc` command itself is not counted. s5cmd publishes a changed folder "
        "with `sync`, rclone with the same `copy`. obstore is called with 16 threads, for one large file with 4 parts "
        "at a time.\n\n"
        f"{_table(['', 'versions'], rows)}"
    )


def _notes(results: Results) -> Iterator[str]:
    """What is not in the tables, and why."""
    document = results.document
    lines = [f"* {name} did not take part: {reason}" for name, reason in document["skipped"].items()]
    steps = {"republish": ("again", "W2"), "tiny": TINY}
    for name, tool in document["tools"].items():
        for step, reason in tool["missing"].items():
            if lacking := [job for job in steps[step] if results.latencies(job)]:
                lines.append(f"* {name} has no {', '.join(lacking)}: {reason}")
    failed: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}  # jobs and rounds, each in order
    for run in results.failures():
        jobs, rounds = failed.setdefault((run["tool"], run["failed"]), ({}, {}))
        jobs[_at(run["job"], run["latency_ms"])] = None
        rounds[str(run["round"])] = None
    lines += [
        f"* {tool} failed at {', '.join(jobs)} in round {', '.join(rounds)}: {reason}"
        for (tool, reason), (jobs, rounds) in failed.items()
    ]
    if lines:
        yield "## What is missing\n\n" + "\n".join(lines)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines)


def _tiny_cells(figures: Figures | None) -> tuple[str, str]:
    if figures is None:
        return EMPTY, EMPTY
    return _spread(figures.wall), _count(figures.requests)


def _at(job: str, latency: int) -> str:
    return f"{job} at {latency} ms" if latency else job


def _least(figures: Figures | None) -> str:
    return EMPTY if figures is None else f"{figures.wall.least:.2f}"


def _spread(spread: Spread, form: str = "{:.2f}") -> str:
    return f"{form.format(spread.least)} / {form.format(spread.median)}"


def _count(requests: float | None) -> str:
    return EMPTY if requests is None else f"{requests:,.1f}".removesuffix(".0")


def _ratio(ratio: float | None) -> str:
    return EMPTY if ratio is None else f"{ratio:.2f}"


def _both_ratios(results: Results, tool: str, job: str, latency: int) -> str:
    wall, cpu = (results.ratio(tool, job, latency, quantity=quantity) for quantity in ("wall", "cpu"))
    return EMPTY if wall is None else f"{_ratio(wall)} ({_ratio(cpu)})"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
