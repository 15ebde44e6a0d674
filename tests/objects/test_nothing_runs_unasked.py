"""Loading an object of a stranger's store runs no code of it, whatever its names, its bytes and its records say."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extras import need
from metamlflow import UntrustedContentError
from metamlflow.errors import InvalidInputError, MetaMLFlowError
from metamlflow.objects.registry import _BUILT_IN

FORMATS = [*sorted(_BUILT_IN), "parquet/pandas", "parquet/polars", "xgboost/Booster", "xgboost/XGBClassifier"]
FORMATS += ["safetensors/torch", "png/matplotlib"]


class Trap:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def sprung(tmp_path):
    return tmp_path / "sprung"


@pytest.fixture
def stored(client):
    """Register bytes as if somebody had saved them in a format."""

    def store(content, saved_as, path="model.bin"):
        options = {"inputs": (), "if_unchanged": "new_version", "idempotency_key": None, "progress": None}
        return client._registered("x", {path: content}, "file", None, **options, extra={"saved_as": saved_as})

    return store


def test_the_trap_works(sprung):
    pickle.loads(pickle.dumps(Trap(sprung))).close()
    assert sprung.exists()


def traps(path):
    """Files that run code in readers that are not careful."""
    array = io.BytesIO()
    np.save(array, np.array([Trap(path)], dtype=object), allow_pickle=True)
    arrays = io.BytesIO()
    np.savez(arrays, a=np.array([Trap(path)], dtype=object))
    return {"pickle": pickle.dumps(Trap(path)), "npy": array.getvalue(), "npz": arrays.getvalue()}


@pytest.mark.parametrize("name", ["model.json", "model.pkl", "model.npy"])
@pytest.mark.parametrize("trap", ["pickle", "npy", "npz"])
def test_no_format_runs_code_of_a_file_whatever_its_name(stored, sprung, trap, name):
    for saved_as in FORMATS:
        artifact = stored(traps(sprung)[trap], saved_as, name)
        for trusted in (False, ["builtins.open", "io.open"]):
            try:
                found = artifact.load(trusted=trusted)
            except Exception:  # noqa: BLE001 (each library has its own errors)
                pass
            else:
                assert isinstance(found, bytes | str)
    assert not sprung.exists()


@pytest.mark.parametrize("saved_as", ["pickle", "joblib", "pickle/anything"])
def test_pickles_are_loaded_only_when_trusted(client, stored, sprung, saved_as):
    artifact = stored(pickle.dumps(Trap(sprung)), saved_as, "harmless.json")
    for trusted in (False, [], ["builtins.open"], None, 0):
        with pytest.raises(MetaMLFlowError):
            artifact.load(trusted=trusted)
    assert not sprung.exists()
    with pytest.raises(UntrustedContentError, match="runs code") as refusal:
        artifact.load()
    assert "trusted=True" in refusal.value.hint
    if saved_as == "joblib":
        need("joblib")
    artifact.load(trusted=True).close()
    assert sprung.exists(), "it was asked for"


def test_pickles_are_written_only_when_asked_for(client):
    with pytest.raises(InvalidInputError, match="no format is known"):
        client.save("x", {1, 2})
    saved = client.save("x", {1, 2}, format="pickle")
    assert (saved.saved_as, saved.load(trusted=True)) == ("pickle", {1, 2})
    with pytest.raises(InvalidInputError, match="pickle does not take it"):
        client.save("x", lambda: 1, format="pickle")


@pytest.mark.parametrize("trusted", ["sklearn.Thing", [1], b"x"])
def test_trust_is_a_yes_or_names_of_types(client, trusted):
    saved = client.save("x", {})
    with pytest.raises(InvalidInputError, match="trusted is"):
        saved.load(trusted=trusted)


@pytest.mark.parametrize("said", [7, ["json"], {"a": 1}, "", "../x", "JSON", "a" * 99, "json/\n", "os:system", None])
def test_a_recorded_format_that_is_none_counts_as_not_recorded(stored, said):
    artifact = stored(b"{}", said)
    assert artifact.saved_as is None
    with pytest.raises(InvalidInputError, match="no format is recorded"):
        artifact.load()


@pytest.mark.parametrize("said", ["yaml", "parquet/spark", "xgboost/os", "safetensors/tf", "png-of-strangers"])
def test_a_recorded_format_that_is_not_installed_is_an_error(stored, said):
    with pytest.raises(MetaMLFlowError) as refusal:
        stored(b"{}", said).load()
    assert isinstance(refusal.value, InvalidInputError | ImportError)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"NaN", b"[Infinity]", b"1e999", b"[-1e999]", b'"\xff"', DEEP, b"1" * 5000],
    ids=lambda c: str(c[:9]),
)
def test_hostile_json_is_an_error(stored, content):
    with pytest.raises(InvalidInputError, match="not JSON"):
        stored(content, "json").load()


def test_bytes_that_are_no_text_are_an_error(stored):
    with pytest.raises(InvalidInputError, match=r"not text in UTF-8: .* at byte 2"):
        stored(b"ab\xff", "text").load()


def archive(member: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in ("schema.json", "config.json", "metadata.json"):
            target.writestr(name, member)
    return packed.getvalue()


@pytest.mark.full
@pytest.mark.parametrize("name", ["skops", "keras"])
def test_an_archive_that_would_fill_the_memory_is_not_unpacked_unasked(stored, name):
    artifact = stored(archive(b"[" + b" " * 30_000_000 + b"]"), name, f"model.{name}")
    artifact.local_path()
    for trusted in (False, ["numpy.ndarray"]):
        tracemalloc.start()
        with pytest.raises(UntrustedContentError, match=r"unpacks to 90\.0 MB") as refusal:
            artifact.load(trusted=trusted)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()
    assert "trusted=True" in refusal.value.hint


def npy(header, body=b""):
    text = (json.dumps(header) if isinstance(header, dict) else header).replace("false", "False").encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def long_npy(text):
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text.encode()


HEADER = {"descr": "<f8", "fortran_order": False, "shape": None}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x09\x00",
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", b"x" * 8),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"x" * 8),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1])),
        npy("__import__('os').system('true')"),
        npy("{'descr': '<U999999999', 'fortran_order': False, 'shape': (9,), }"),
        npy("(" * 500),
        long_npy("-" * 60_000 + "1"),
        long_npy("[" + "[]," * 20_000 + "]"),
        long_npy("[" + "[]," * 3_000_000 + "]"),
    ],
    ids=[
        *("empty", "version", "large", "short", "negative", "objects", "code", "wide", "deep"),
        *("a long sum", "many lists", "too long"),
    ],
)
def test_hostile_arrays_are_an_error_and_take_no_memory(stored, content):
    artifact = stored(content, "npy")
    artifact.local_path()
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match="not a NumPy array"):
        artifact.load()
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()


def test_hostile_parquet_is_an_error(stored):
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(1000))}), sink)
    whole = sink.getvalue()
    for kind in ("parquet/pandas", "parquet/arrow", "parquet/polars"):
        for content in (b"", b"PAR1", whole[:-9], whole[:4] + b"\xff" * 60 + whole[64:], b"PAR1\xff\xff\xff\x7fPAR1"):
            artifact = stored(content, kind)
            try:
                found = artifact.load()
            except (OSError, ValueError, MetaMLFlowError, pa.ArrowException):
                continue
            except BaseException as error:  # noqa: BLE001 (a panic of polars is no Exception)
                pytest.fail(f"{type(error)} from {kind}")
            assert len(found) == 1000, "the damage is where it does not matter"
