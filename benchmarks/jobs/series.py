"""Runs the series: rounds in which every tool does each of them once."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.inputs import Input
from jobs.plan import Job, Series
from jobs.running import Command, Measurement, RunFailedError, run
from jobs.servers import Server
from jobs.tools import Place, Tool, child

Run = dict[str, Any]
SWEEP_SECONDS = 600


@dataclass(frozen=True)
class Bench:
    """What all runs share.

    Attributes:
        servers: by latency in milliseconds.
        inputs: by the name that a series calls its source.
        work: a folder, best in memory.
        timeout: seconds after which a run is ended and has failed.
    """

    servers: Mapping[int, Server]
    inputs: Mapping[str, Input]
    work: Path
    timeout: float
    repeats: int

    def round(self, number: int, series: list[Series], tools: Mapping[str, list[Tool]]) -> Iterator[Run]:
        """Let every tool do every series once; yield a record of each job that was asked for.

        Args:
            number: from 1; each round begins with another tool, so that none always runs first.
            series: those of the round.
            tools: those that take part, by the source of the series.
        """
        for one in series:
            taking_part = tools[one.source]
            first = (number - 1) % len(taking_part) if taking_part else 0
            for tool in taking_part[first:] + taking_part[:first]:
                for record in self.do(one, tool):
                    record["round"] = number
                    _say(record)
                    yield record

    def do(self, series: Series, tool: Tool) -> list[Run]:
        """Let one tool do one series in a place of its own; return the records of the jobs that were asked for."""
        due = [job for job in series.due() if job.step not in tool.missing]
        if not due:
            return []
        server, source = self.servers[series.latency_ms], self.inputs[series.source]
        place = self._place(tool, server)
        try:
            records = self._prove(due, tool, place, source, server)
        except RunFailedError as error:
            records = [{"job": job.name, "tool": tool.name, "failed": str(error)} for job in due]
        finally:
            source.restore()
            self._clean(place, server)
        facts = {"source": series.source, "latency_ms": series.latency_ms}
        return [record | facts for record in records if record["job"] in series.wanted or series.source == "tiny"]

    def _place(self, tool: Tool, server: Server) -> Place:
        prefix = f"whole-jobs-{uuid.uuid4().hex[:12]}"
        home, scratch = self.work / tool.name, self.work / prefix
        home.mkdir(exist_ok=True)
        (scratch / "tmp").mkdir(parents=True)
        return Place(
            server.endpoint, server.bucket, prefix, server.region, home, scratch, server.stats_url, self.repeats
        )

    def _prove(self, jobs: list[Job], tool: Tool, place: Place, source: Input, server: Server) -> list[Run]:
        """Do the jobs; return their records.

        Raises:
            RunFailedError: one that the others need failed, or wrong content came back: none of them has a time.
        """
        server.reset(data=True)
        if preparation := tool.preparation(place):
            self._run(preparation, place, server)
        records: list[Run] = []
        for job in jobs:
            if job.changes:
                source.change_one_file()
            try:
                records += self._measure(job, tool, place, source, server)
            except RunFailedError as error:
                if job.needed:
                    raise
                source.restore()
                records.append({"job": job.name, "tool": tool.name, "failed": str(error)})
        return records

    def _measure(self, job: Job, tool: Tool, place: Place, source: Input, server: Server) -> list[Run]:
        destination = place.scratch / f"fetched-{source.path.name}"
        command = tool.command(job.step, place, source.path, destination)
        server.reset()
        load = os.getloadavg()[0]
        measured = self._run(command, place, server)
        requests = server.requests()
        if job.step == "fetch":
            single = source.path.is_file()
            if difference := source.difference(destination / source.path.name if single else destination):
                raise RunFailedError(f"wrong content came back: {difference}")
        facts = {"tool": tool.name, "load": round(load, 2), "peak_bytes": measured.peak_bytes}
        if job.step == "tiny":
            return [{"job": f"tiny {call}", **facts, **figures} for call, figures in measured.reported.items()]
        times = {"wall_s": measured.wall_s, "cpu_s": measured.cpu_s}
        return [{"job": job.name, **facts, **times, "requests": requests}]

    def _run(self, command: Command, place: Place, server: Server) -> Measurement:
        environment = {**server.environment, "TMPDIR": str(place.scratch / "tmp")}
        return run(command, environment, place.scratch, timeout=self.timeout)

    def _clean(self, place: Place, server: Server) -> None:
        """Leave nothing of the series, in the bucket or here."""
        try:
            if not server.reset(data=True):
                sweep = child(Path(sys.executable), "sweep.py", "sweep", place, place.scratch, place.scratch)
                run(sweep, server.environment, place.scratch, timeout=SWEEP_SECONDS)
        except RunFailedError as error:
            print(f"{place.bucket}/{place.prefix} could not be removed: {error}", file=sys.stderr)
        finally:
            shutil.rmtree(place.scratch)


def _say(record: Run) -> None:
    at = f" at {record['latency_ms']} ms" if record["latency_ms"] else ""
    if "failed" in record:
        figures = f"FAILED: {record['failed']}"
    elif "each_ms" in record:
        figures = f"{min(record['each_ms']):.2f} ms"
    else:
        figures = f"{record['wall_s']:.2f} s, CPU {record['cpu_s']:.2f} s, {record['peak_bytes'] / 2**20:.0f} MiB"
    print(f"round {record['round']}: {record['tool']:>10} {record['job'] + at:<14} {figures}", file=sys.stderr)
