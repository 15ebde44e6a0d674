"""The serializers: built in, and from plug-ins with an entry point in the group ``metamlflow.serializers``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from metamlflow._looks import type_name, with_article
from metamlflow.backend.registry import entry_points_of, not_loaded
from metamlflow.errors import InvalidInputError
from metamlflow.objects.serializer import Serializer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

GROUP = "metamlflow.serializers"
WITHOUT_FORMAT = (
    "client.register_artifact takes files and folders; client.save takes data frames, Arrow tables, dicts and lists of "
    "JSON values, texts, bytes, NumPy arrays, models of scikit-learn, XGBoost, LightGBM and Keras, PyTorch states, and "
    "figures. A number goes into a dict, such as {\"value\": 5}. Others need a plug-in, or format='pickle', which runs "
    "code when it is loaded."
)
"""The remedy for an object that no format takes."""
_BUILT_IN = {
    "parquet": "frames:Parquet",
    "npy": "arrays:NumpyArray",
    "xgboost": "models:XGBoost",  # before skops: its estimators are scikit-learn's too
    "lightgbm": "models:LightGBM",
    "skops": "models:Skops",
    "keras": "models:Keras",
    "safetensors": "models:SafeTensors",  # before json: both take dicts
    "png": "figures:Figure",
    "json": "plain:Json",
    "text": "plain:Text",
    "bytes": "plain:Bytes",
    "pickle": "pickles:Pickle",
    "joblib": "pickles:Joblib",
}
"""By name, in the order in which they are asked whether they take an object."""


def serializer(name: str) -> Serializer:
    """Return the serializer of a format.

    Raises:
        InvalidInputError: no such format is built in or installed.
        MissingDependencyError: the plug-in for it cannot be imported.
    """
    found = _built_in(name) or _from_plug_in(name, tuple(sys.path))
    if found is None:
        plugged = _plug_ins(tuple(sys.path))
        raise InvalidInputError(
            f"no serializer is installed for the format {name!r:.80}",
            hint=f"Installed are: {', '.join([*_BUILT_IN, *plugged])}. A package adds one by an entry point in the "
            f"group {GROUP!r}.",
        )
    return found


def serializer_for(value: object) -> tuple[Serializer, str]:
    """Return the serializer that takes an object, and the kind of the object. Plug-ins are asked last.

    Raises:
        InvalidInputError: none takes it.
    """
    for candidate in _candidates():
        variant = None if candidate.only_by_name else candidate.variant_of(value)
        if variant is not None:
            return candidate, variant
    raise InvalidInputError(f"no format is known for {with_article(type_name(value))}", hint=WITHOUT_FORMAT)


def _candidates() -> Iterator[Serializer]:
    for name in _BUILT_IN:
        if found := _built_in(name):
            yield found
    for name in _plug_ins(tuple(sys.path)):
        if found := _from_plug_in(name, tuple(sys.path)):
            yield found


@cache
def _built_in(name: str) -> Serializer | None:
    if name not in _BUILT_IN:
        return None
    module, _, kind = _BUILT_IN[name].partition(":")
    made: Serializer = getattr(import_module(f"metamlflow.objects.{module}"), kind)()
    return made


@cache
def _from_plug_in(name: str, path: tuple[str, ...]) -> Serializer | None:
    point = _plug_ins(path).get(name)
    if point is None:
        return None
    try:
        made = point.load()()
    except (ImportError, AttributeError) as error:
        raise not_loaded(f"the format {name!r}", point, error) from error
    if not isinstance(made, Serializer) or made.name != name:
        raise InvalidInputError(
            f"the plug-in {point.value!r} is not a serializer of the format {name!r}",
            hint="Its entry point names a subclass of metamlflow.types.Serializer with the name of the entry point.",
        )
    return made


def _plug_ins(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    return entry_points_of(GROUP, path)
