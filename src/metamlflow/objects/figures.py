"""Figures as PNG images. An image is for people: what comes back is the image, not the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metamlflow.objects.serializer import Serializer, Trusted, is_of, refused


class Figure(Serializer):
    """A figure of matplotlib, or of plotly with kaleido installed. It comes back as the bytes of the PNG image."""

    name = "png"
    extension = ".png"
    artifact_type = "figure"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take figures."""
        if is_of(value, "matplotlib.figure", "FigureBase"):
            return "matplotlib"
        return "plotly" if is_of(value, "plotly.basedatatypes", "BaseFigure") else None

    def write(self, value: Any, path: Path) -> None:
        """Draw it. The image is the same for the same figure: it holds neither a time nor a program's version."""
        if is_of(value, "matplotlib.figure", "FigureBase"):
            if not hasattr(value, "savefig"):
                raise refused(value, "it is a part of a figure", "Save the whole figure.")
            value.savefig(path, format="png", metadata={"Software": None})
            return
        try:
            path.write_bytes(value.to_image(format="png"))
        except (ImportError, ValueError, RuntimeError) as error:
            hint = "Install kaleido and a browser; or save value.to_json(), a text that plotly.io.from_json reads."
            raise refused(value, f"plotly cannot draw it here ({type(error).__name__})", hint) from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (no image is decoded here)
        """Return the image's bytes."""
        return path.read_bytes()
