"""Run the conformance suite of backends against a real bucket: does it keep every promise that a store needs?

    python examples/conformance_on_a_bucket.py s3://bucket/prefix [--option name=value]... [-k expression]

``--option`` gives an fsspec option of the storage, its value as JSON or as plain text; credentials are better left to
the environment. All that is written lies below a fresh random prefix, and is deleted at the end; a bucket that keeps
versions keeps those. Expect some 4,000 requests, a few hundred MB, and minutes. The exit code is
pytest's: 0 if every promise was kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from metamlflow.backend import Backend, open_backend
from metamlflow.errors import MetaMLFlowError
from metamlflow.testing import BackendSuite

_SECRETS = ("secret", "token", "password")


class Place:
    """Where the suite may write; a plugin of pytest, which hands it to the tests."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url = f"{url.rstrip('/')}/conformance-{uuid.uuid4().hex}"
        self.options = options
        self._numbers = itertools.count(1)

    def new_root(self) -> Backend:
        """Return a backend on a root of its own that holds nothing."""
        return open_backend(f"{self.url}/{next(self._numbers):04d}", self.options)

    def delete(self) -> list[str]:
        """Delete everything below the prefix; return what could not be deleted."""
        everything = open_backend(self.url, self.options)
        failures = everything.delete(info.key for info in everything.list_objects())
        return [f"{failure.key}: {failure.error}" for failure in failures]

    @pytest.fixture
    def place(self) -> Place:
        """Return this place."""
        return self


class TestOnTheBucket(BackendSuite):
    """The whole suite, each test on a prefix of its own."""

    rounds = 10
    clock_tick_seconds = 1.1  # S3 keeps times in whole seconds
    put_memory_bytes = 96 * 1024 * 1024  # parts are sent side by side, and the client copies them

    @pytest.fixture(autouse=True)
    def _settings(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        texts = tuple(str(value) for name, value in place.options.items() if name in _SECRETS and value != "anon")
        monkeypatch.setattr(type(self), "storage_options", place.options)
        monkeypatch.setattr(type(self), "secrets", texts)

    @pytest.fixture
    def backend(self, place: Place) -> Iterator[Backend]:
        """Return a backend on a root of its own, and empty that afterwards."""
        backend = place.new_root()
        yield backend
        backend.delete(info.key for info in backend.list_objects())


def option(text: str) -> tuple[str, Any]:
    """Return an option's name and value, which is JSON where it can be read as such."""
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main(arguments: list[str] | None = None) -> int:
    """Run the suite and clean up; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("url", help="where to write, such as s3://bucket/prefix or gs://bucket/prefix")
    parser.add_argument("--option", action="append", default=[], type=option, metavar="NAME=VALUE")
    parser.add_argument("-k", dest="expression", default="", help="run these tests only; as pytest's -k")
    given = parser.parse_args(arguments)
    place = Place(given.url, dict(given.option))
    print(f"writing below {place.url}")
    # Neither settings nor caches of the folder that it is called in.
    flags = ["-c", os.devnull, "--rootdir", os.path.dirname(__file__), "-p", "no:cacheprovider", "-q", "-rfE"]  # noqa: PTH120 (text)
    code = 1
    try:
        code = int(pytest.main([__file__, *flags, "-k", given.expression], plugins=[place]))
    finally:
        try:
            left = place.delete()
        except MetaMLFlowError as error:
            left = [str(error)]
        print("\n".join([f"could not be deleted below {place.url}:", *left]) if left else "everything was deleted")
    return code or bool(left)


if __name__ == "__main__":
    sys.exit(main())
