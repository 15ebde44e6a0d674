"""Pickles, which run code when they are loaded: written when asked for by name, loaded when the caller trusts them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from metamlflow._packages import package
from metamlflow.objects.serializer import Serializer, Trusted, refused


class Pickle(Serializer):
    """Any object that pickle takes."""

    name = "pickle"
    extension = ".pkl"
    runs_code = True
    only_by_name = True

    def variant_of(self, value: Any) -> str | None:  # noqa: ARG002 (of any type)
        """Take everything."""
        return ""

    def write(self, value: Any, path: Path) -> None:
        """Write a pickle."""
        try:
            with path.open("xb") as file:
                pickle.dump(value, file, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise refused(value, f"pickle does not take it: {error}", "Save its parts, or its state.") from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (the caller checked the trust)
        """Load the pickle, which runs its code."""
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 (only after trusted=True)


class Joblib(Pickle):
    """Any object that joblib takes: a pickle that stores large arrays well."""

    name = "joblib"
    extension = ".joblib"

    def write(self, value: Any, path: Path) -> None:
        """Write a file of joblib."""
        joblib = package("joblib", "joblib")
        try:
            joblib.dump(value, path)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise refused(value, f"joblib does not take it: {error}", "Save its parts, or its state.") from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (the caller checked the trust)
        """Load the file, which runs its code."""
        return package("joblib", "joblib").load(path)
