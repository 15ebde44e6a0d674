"""The option that gives work to a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from metamlflow._arguments import blamed_on

if TYPE_CHECKING:
    from concurrent.futures import Executor

DaskOption = Annotated[
    str | None,
    typer.Option("--dask", metavar="ADDRESS", help="Spread the work over this Dask scheduler, e.g. tcp://host:8786."),
]


@contextmanager
def executor_at(address: str | None) -> Iterator[Executor | None]:
    """Connect to a Dask scheduler, if one is given, for the duration of a block."""
    if address is None:
        yield None
        return
    from metamlflow.migration import dask_executor

    with ExitStack() as connected:
        with blamed_on("--dask"):
            executor = connected.enter_context(dask_executor(address))
        yield executor
