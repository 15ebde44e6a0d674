"""OpenLineage events of runs, to a file or an HTTP endpoint (https://openlineage.io, specification 2-0-2).

A run sends an event at its start (START) and at its end (COMPLETE or FAIL). An artifact is a data set: its namespace is
the store's URL, its name is the artifact's, and its facets hold version, schema and the place of the data. The user
gives the address of the endpoint; its key comes from ``OPENLINEAGE_API_KEY``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from importlib.util import find_spec
from typing import Any
from uuid import UUID

from metamlflow.errors import InvalidInputError, MissingDependencyError, redact
from metamlflow.model.uris import secret_problem
from metamlflow.store.lineage.runs import DatasetFacts

PRODUCER = "urn:metamlflow"
_SECONDS, _ATTEMPTS = 5.0, 2


def check_address(address: object) -> str | None:
    """Return the address that events are sent to: a path, or the URL of an endpoint; None if none is given.

    Raises:
        InvalidInputError: it is neither, or carries a secret.
        MissingDependencyError: the package that makes the events is not installed.
    """
    if address is None or address == "":
        return None
    if not isinstance(address, str | os.PathLike):
        raise InvalidInputError(f"openlineage is a path or a URL, not {type(address).__name__}")
    text = os.fspath(address)
    if "://" in text and (problem := secret_problem(text)):
        raise InvalidInputError(
            f"the address of the OpenLineage endpoint cannot be accepted: {problem}",
            hint="Give its key in OPENLINEAGE_API_KEY.",
        )
    scheme, separator, rest = text.partition("://")
    if scheme == "file" and separator:
        text = rest
    elif separator and (scheme not in {"http", "https"} or not rest.strip("/")):
        raise InvalidInputError(
            f"{text!r:.80} is not an address for OpenLineage events", hint="Give a path, or an http URL."
        )
    if find_spec("openlineage") is None:
        raise MissingDependencyError(
            "openlineage-python is not installed", hint="pip install 'metamlflow[openlineage]'", extra="openlineage"
        )
    return text


class Emitter:
    """Sends the events of one run.

    Args:
        address: a file to append lines to, or the URL of an endpoint.
        namespace: the namespace of jobs and data sets: the store's URL.
        run_id: the run's id, 32 hex digits.
        job: the name of the run.
        code: the code facts, as in the run's record.
        parent: id and name of the enclosing run, if any.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        run_id: str,
        job: str,
        code: Mapping[str, Any],
        parent: tuple[str, str] | None,
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._run_id = str(UUID(run_id))
        self._job = job
        self._code = code
        self._parent = parent

    def emit(
        self, state: str, moment: datetime, inputs: Iterable[DatasetFacts] = (), outputs: Iterable[DatasetFacts] = ()
    ) -> None:
        """Send one event: ``START``, ``COMPLETE`` or ``FAIL``. Errors of the client are raised unchanged."""
        from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
        from openlineage.client.generated.parent_run import Job as ParentJob
        from openlineage.client.generated.parent_run import ParentRunFacet
        from openlineage.client.generated.parent_run import Run as ParentRun

        facets: dict[str, Any] = {}
        if self._parent:
            parent_id, name = self._parent
            parent_job = ParentJob(namespace=self._namespace, name=name)
            facets["parent"] = ParentRunFacet(run=ParentRun(runId=str(UUID(parent_id))), job=parent_job)
        self._client.emit(
            RunEvent(
                eventType=RunState[state],
                eventTime=moment.isoformat(),
                run=Run(runId=self._run_id, facets=facets),
                job=Job(namespace=self._namespace, name=self._job, facets=self._job_facets()),
                inputs=[InputDataset(self._namespace, used.name, facets=_facets(used)) for used in inputs],
                outputs=[OutputDataset(self._namespace, made.name, facets=_facets(made)) for made in outputs],
                producer=PRODUCER,
            )
        )

    @cached_property
    def _client(self) -> Any:
        from openlineage.client import OpenLineageClient
        from openlineage.client.transport.file import FileConfig, FileTransport
        from openlineage.client.transport.http import HttpConfig, HttpTransport

        if "://" not in self._address:
            return OpenLineageClient(transport=FileTransport(FileConfig(self._address, append=True)))
        settings: dict[str, Any] = {"type": "http", "url": self._address, "timeout": _SECONDS, "retry": _retries()}
        if key := os.environ.get("OPENLINEAGE_API_KEY"):
            settings["auth"] = {"type": "api_key", "apiKey": key}
        return OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict(settings)))

    def _job_facets(self) -> dict[str, Any]:
        from openlineage.client.generated.source_code_location_job import SourceCodeLocationJobFacet

        git = self._code.get("git") or {}
        if not git.get("remote"):
            return {}
        location = SourceCodeLocationJobFacet(
            type="git",
            url=redact(git["remote"]),
            repoUrl=redact(git["remote"]),
            path=self._code.get("source"),
            version=git.get("commit"),
            branch=git.get("branch"),
        )
        return {"sourceCodeLocation": location}


def _retries() -> dict[str, Any]:
    failed = [500, 502, 503, 504]
    return {"total": _ATTEMPTS, "backoff_factor": 0.3, "status_forcelist": failed, "allowed_methods": ["POST"]}


def _facets(touched: DatasetFacts) -> dict[str, Any]:
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
    from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet
    from openlineage.client.generated.schema_dataset import SchemaDatasetFacet, SchemaDatasetFacetFields

    facets: dict[str, Any] = {
        "version": DatasetVersionDatasetFacet(datasetVersion=str(touched.version)),
        "dataSource": DatasourceDatasetFacet(name=touched.place, uri=touched.place),
    }
    if touched.columns:
        fields = [SchemaDatasetFacetFields(name=name, type=kind) for name, kind in touched.columns]
        facets["schema"] = SchemaDatasetFacet(fields=fields)
    return facets
