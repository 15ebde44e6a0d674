"""The demonstration: a short story, really executed in a local folder with the base install alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from metamlflow._arguments import absolute_path
from metamlflow.cli.demo.narration import Narrator
from metamlflow.cli.demo.story import Story
from metamlflow.errors import DestinationExistsError, InvalidInputError

__all__ = ["play"]


def play(folder: Path | None, *, keep: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Play the story; return its results as JSON values.

    Args:
        folder: a new or empty folder, which is kept; None plays in a temporary one.
        keep: keep the temporary folder.
        quiet: print nothing.

    Raises:
        DestinationExistsError: the folder is not empty.
        DemoFailedError: a result differs from the story.
    """
    narrator = Narrator(quiet=quiet)
    if folder is None and not keep:
        with tempfile.TemporaryDirectory(prefix="metamlflow-demo-") as passing:
            return Story(Path(passing), narrator, kept=False).play()
    place = _empty(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="metamlflow-demo-"))
    return Story(place, narrator, kept=True).play()


def _empty(folder: Path) -> Path:
    folder = Path(absolute_path(str(folder)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInputError(f"{folder} is not a folder", hint="Give a new or empty one.") from error
    if any(folder.iterdir()):
        raise DestinationExistsError(
            f"{folder} is not empty",
            hint="Give a new or empty folder, or none for a temporary one.",
            paths=(str(folder),),
        )
    return folder
