"""Whole jobs by this library and by what people use today, side by side in one run.

    python benchmarks/whole_jobs.py --server PROGRAM [--latency 0,20] [--rounds 3] [--jobs W1,W3] [--tools s5cmd,pins]
    python benchmarks/whole_jobs.py --endpoint URL --bucket NAME
    python benchmarks/whole_jobs.py --render benchmarks/results/whole_jobs.json --out docs

W1 a folder of many small files published as a new version, `again` the unchanged folder once more, W2 with one file
changed, W3 fetched; W4 one large file published, W5 fetched; `tiny` a 100-byte artifact registered, found and read;
`many` 100,000 files there and back, by the tools of --many-tools. A round is every job by every tool; the tools take
turns. Wall seconds, CPU seconds, peak memory and requests are written as raw data, as Markdown and as a plot.

The server is one that is there (its credentials come from the usual variables, everything lies below fresh prefixes
that are removed again), or a PROGRAM that, started as `PROGRAM --port 0 --bucket data [--latency MS]`, keeps objects in
memory and prints `listening on HOST:PORT`. If it answers `GET CONTROL/stats` with `{"total": …, "requests": {…}}` and
takes `POST CONTROL/reset?data=1`, requests are counted and it is emptied between jobs; CONTROL is `/_` and the name of
PROGRAM, unless --control says otherwise. With neither, moto is started, sizes are small, and figures compare nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from jobs import inputs, machine, options, selection, servers
from jobs.chart import draw
from jobs.page import render
from jobs.plan import TRIAL, Series, Sizes, plan
from jobs.series import Bench
from jobs.tools import PythonTool, Tool

HERE = Path(__file__).resolve().parent
DATA, PAGE, PLOT = "whole_jobs.json", "benchmarks.md", "benchmarks.svg"
MOTO_WARNING = "Figures from moto compare nothing: it is slower than any client. They only show that every tool runs."


def main() -> int:
    """Measure, print and write; return 1 if a run failed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # as Ctrl-C does: servers and folders are cleared away
    arguments = options.parse(__doc__ or "", HERE / "results")
    if arguments.render:
        write_page(json.loads(arguments.render.read_text("utf-8")), arguments.out)
        return 0
    try:
        document = measure(arguments)
    except (KeyboardInterrupt, servers.ServerError) as error:
        print(str(error) or "It was interrupted.", file=sys.stderr)
        return 1
    if not document["runs"]:
        print("Nothing was measured.", file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / DATA).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(write_page(document, arguments.out))
    return int(document["ended_early"] is not None or any("failed" in run for run in document["runs"]))


def write_page(document: dict[str, Any], out: Path) -> str:
    """Write the page and the plot of a run into a folder; return the page."""
    out.mkdir(parents=True, exist_ok=True)
    name = "benchmarks/whole_jobs.py"
    inside = out.resolve().is_relative_to(HERE.parent)
    script = f"[{name}]({os.path.relpath(__file__, out)})" if inside else f"`{name}`"
    page = render(document, plot=PLOT, script=script)
    (out / PAGE).write_text(page, "utf-8")
    (out / PLOT).write_text(draw(document), "utf-8")
    return page


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds; return the raw data. Ctrl-C ends it early, with what was measured by then."""
    tools, skipped = selection.choose(arguments, arguments.tools)
    for name, reason in skipped.items():
        print(f"{name} does not take part: {reason}", file=sys.stderr)
    on_moto = arguments.server is None and arguments.endpoint is None
    sizes, series = _sizes(arguments, TRIAL if on_moto else Sizes()), plan(arguments.jobs, arguments.latency)
    document: dict[str, Any] = {
        "format": 1,
        "ours": selection.OURS,
        "machine": machine.facts(_package(tools)),
        "work": f"`{arguments.workdir}`",
        "sizes": asdict(sizes),
        "tools": {
            tool.name: {"versions": versions, "measured": tool.measured, "missing": dict(tool.missing)}
            for tool, versions in tools.items()
        },
        "skipped": skipped,
        "warnings": [MOTO_WARNING] if on_moto else [],
        "ended_early": None,
        "rounds_done": 0,
        "runs": [],
    }
    with tempfile.TemporaryDirectory(prefix="whole-jobs-", dir=arguments.workdir) as folder, ExitStack() as stack:
        running = {ms: stack.enter_context(_server(arguments, ms)) for ms in _latencies(series)}
        document["server"] = next(iter(running.values())).title
        made = _inputs(Path(folder), sizes, {one.source for one in series})
        bench = Bench(running, made, Path(folder), arguments.timeout, sizes.tiny_repeats)
        taking_part = _taking_part(list(tools), arguments.many_tools)
        try:
            for number in range(1, sizes.rounds + 1):
                due = [one for one in series if one.source not in {"few", "many"} or number <= sizes.many_rounds]
                for record in bench.round(number, due, taking_part):
                    document["runs"].append(record)
                document["rounds_done"] = number
        except (KeyboardInterrupt, OSError) as error:  # what was measured so far is worth keeping
            document["ended_early"] = str(error) or "it was interrupted"
    return document


def _package(tools: Iterable[Tool]) -> Path | None:
    """Where our own package lies, if it takes part."""
    ours = (tool for tool in tools if isinstance(tool, PythonTool) and tool.name == selection.OURS)
    return next((tool.folder() for tool in ours), None)


def _taking_part(tools: list[Tool], with_many: list[str]) -> dict[str, list[Tool]]:
    """The tools by the source of the series."""
    patient = [tool for tool in tools if tool.name in with_many]
    return {"folder": tools, "large": tools, "tiny": tools, "few": patient, "many": patient}


def _latencies(series: list[Series]) -> list[int]:
    return sorted({one.latency_ms for one in series})


def _inputs(folder: Path, sizes: Sizes, sources: set[str]) -> dict[str, inputs.Input]:
    def small(name: str, count: int, size: int, *, nested: bool = False) -> inputs.Input:
        return inputs.make_folder(folder / name, count, size, nested=nested)

    makers: dict[str, Callable[[], inputs.Input]] = {
        "folder": lambda: small("folder", sizes.files, sizes.file_bytes),
        "large": lambda: inputs.make_file(folder / "large.bin", sizes.large_mib * inputs.MIB),
        "tiny": lambda: inputs.make_file(folder / "unused.bin", 1),  # the child makes its own
        "few": lambda: small("few", sizes.files, sizes.many_bytes, nested=True),
        "many": lambda: small("many", sizes.many_files, sizes.many_bytes, nested=True),
    }
    return {source: make() for source, make in makers.items() if source in sources}


@contextmanager
def _server(arguments: argparse.Namespace, latency_ms: int) -> Iterator[servers.Server]:
    if arguments.endpoint:
        yield servers.existing(arguments.endpoint, arguments.bucket, arguments.control)
    elif arguments.server:
        control = arguments.control or f"/_{arguments.server.name}"
        with servers.started(arguments.server.absolute(), latency_ms, control) as server:
            yield server
    else:
        print(MOTO_WARNING, file=sys.stderr)
        with servers.moto() as server:
            yield server


def _sizes(arguments: argparse.Namespace, defaults: Sizes) -> Sizes:
    given = {field.name: getattr(arguments, field.name) for field in fields(Sizes)}
    return replace(defaults, **{name: value for name, value in given.items() if value is not None})


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
