"""Content that does not have the format is an error that names the version and says what to do, whatever its name."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from extras import imported as large
from extras import need
from metamlflow.errors import InvalidInputError, UntrustedContentError
from metamlflow.objects import registry
from metamlflow.types import Serializer


def archive(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for name, text in members.items():
            target.writestr(f"{name}.json", text)
    return packed.getvalue()


def headed(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


STRANGE_NODE = {"__class__": "X", "__module__": "y", "__loader__": "Nothing", "protocol": 2}
CONTENTS = {
    "text": b"hello",
    "nothing": b"",
    "other archive": archive(a="{}"),
    "damaged archive": archive(a="{}")[:-30] + archive(a="{}")[-22:],
    "list in skops": archive(schema="[]"),
    "no json in skops": archive(schema="{"),
    "deep json in skops": archive(schema="[" * 100_000),
    "unknown node in skops": archive(schema=json.dumps(STRANGE_NODE)),
    "no json in keras": archive(config="{", metadata="{}"),
    "damaged ubjson": b"{L\0\0\0\0",
    "other json": b'{"learner":{}}',
    "truncated trees": b"tree\nversion=v4\n",
    "wrong trees": b"tree\nnum_class=1\nlabel_index=0\nmax_feature_idx=1\ntree_sizes=99999\n",
    "tensors without bytes": headed('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "a huge header of tensors": struct.pack("<Q", 2**60) + b"{}",
    "footer of parquet": b"PAR1\xff\xff\xff\x7fPAR1",
}
LIBRARIES = {
    "skops": ["skops"],
    "xgboost/Booster": ["xgboost"],
    "xgboost/XGBClassifier": ["xgboost"],
    "lightgbm": ["lightgbm"],
    "safetensors/torch": [],
    "keras": [],
    "parquet/pandas": [],
    "parquet/arrow": [],
    "parquet/polars": ["polars"],
    "json": [],
    "npy": [],
}


@pytest.mark.full  # the libraries alone take seconds to load
@pytest.mark.parametrize("name", ["model.bin", "model.json"])
@pytest.mark.parametrize("saved_as", LIBRARIES)
def test_content_of_another_format_is_an_invalid_input_whatever_library_reads_it(client, monkeypatch, saved_as, name):
    need(*LIBRARIES[saved_as])
    if saved_as in ("keras", "safetensors/torch"):
        monkeypatch.setenv("KERAS_BACKEND", "torch")
        for module in ("torch", "safetensors", "keras"):
            pytest.importorskip(module, reason=f"needs {module}, which no extra brings because of its size")
    for what, content in CONTENTS.items():
        if saved_as == "json" and what == "other json":
            continue
        artifact = client.register_artifact("thing", {name: content})
        with pytest.raises(InvalidInputError) as refusal:
            artifact.load(format=saved_as)
        assert not isinstance(refusal.value, UntrustedContentError), what
        assert f"thing@{artifact.version}" in str(refusal.value) + "".join(refusal.value.__notes__), what
        assert "Stack trace" not in str(refusal.value)


class Odd(Serializer):
    """A format of a plug-in whose library has errors of its own."""

    name = "odd"
    extension = ".odd"
    runs_code = False
    raised: Exception

    def variant_of(self, value):
        return None

    def write(self, value, path):
        raise NotImplementedError

    def read(self, path, variant, trusted):
        raise self.raised


class LibraryError(Exception):
    pass


@pytest.fixture
def odd(monkeypatch):
    point = EntryPoint("odd", "test_other_content:Odd", registry.GROUP)
    monkeypatch.setattr(registry, "_plug_ins", lambda _: {"odd": point})
    monkeypatch.setattr(registry, "_from_plug_in", lambda name, _: Odd() if name == "odd" else None)


@pytest.mark.parametrize(
    "error", [LibraryError("bad magic\nat 0x7f"), KeyError("k"), OSError("Corrupt"), LibraryError()]
)
def test_an_error_of_a_library_says_which_version_and_what_to_do(client, odd, monkeypatch, error):
    monkeypatch.setattr(Odd, "raised", error, raising=False)
    with pytest.raises(InvalidInputError, match=r"thing@1 cannot be loaded as 'odd': ") as refusal:
        client.register_artifact("thing", b"x").load(format="odd")
    assert "0x7f" not in str(refusal.value)
    assert "load(format=...)" in refusal.value.hint
    assert refusal.value.__cause__ is error


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), MemoryError(), ImportError("no such module")])
def test_an_error_that_is_not_of_the_content_is_raised_as_it_is(client, odd, monkeypatch, error):
    monkeypatch.setattr(Odd, "raised", error, raising=False)
    with pytest.raises(type(error)) as raised:
        client.register_artifact("thing", b"x").load(format="odd")
    assert raised.value is error
    assert error.__notes__ == ["while loading thing@1 as 'odd'"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x05]"])
def test_bytes_that_are_not_a_pickle_are_an_invalid_input(client, content):
    with pytest.raises(InvalidInputError, match="thing@1 cannot be loaded as 'pickle'"):
        client.register_artifact("thing", content).load(format="pickle", trusted=True)


# --- names ------------------------------------------------------------------------------------------------------------


OVER_TORCH = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for module in ("torch", "h5py"):
        pytest.importorskip(module, reason=f"needs {module}, which no extra brings because of its size")
    return pytest.importorskip("keras", reason="needs keras, which no extra brings because of its size")


@pytest.mark.full
@OVER_TORCH
@pytest.mark.parametrize("name", ["model.zip", "model.h5", "model.hdf5", "model", "model.keras.bak"])
def test_a_model_of_keras_is_loaded_under_any_name(client, keras, name, tmp_path):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    found = client.register_artifact("thing", {name: (tmp_path / "model.keras").read_bytes()}).load(format="keras")
    given = np.ones((2, 3))
    assert np.allclose(found.predict(given, verbose=0), model.predict(given, verbose=0))


@pytest.mark.full
@OVER_TORCH
@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.keras"])
@pytest.mark.parametrize("trusted", [False, True])
def test_an_older_file_of_keras_never_reaches_its_reader(client, keras, monkeypatch, name, trusted, tmp_path):
    keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "model.h5")
    monkeypatch.setattr("keras.saving.load_model", lambda *_, **__: pytest.fail("it was read"))
    artifact = client.register_artifact("thing", {name: (tmp_path / "model.h5").read_bytes()})
    with pytest.raises(InvalidInputError, match="not a zip archive"):
        artifact.load(format="keras", trusted=trusted)


@pytest.mark.full
@pytest.mark.parametrize("name", ["model.bin", "model.json", "model", "model.deprecated"])
def test_a_model_of_xgboost_is_loaded_under_any_name(client, name):
    xgboost = large("xgboost")
    model = xgboost.XGBClassifier(n_estimators=2).fit(np.eye(4), [0, 1, 0, 1])
    content = client.save("model", model).read_bytes()
    found = client.register_artifact("thing", {name: content}).load(format="xgboost/XGBClassifier")
    assert (found.predict(np.eye(4)) == model.predict(np.eye(4))).all()
