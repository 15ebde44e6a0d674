"""Models and figures, each with its real library: they predict as before, and hold no code that nobody asked for."""

from __future__ import annotations

import os
from importlib import import_module

import numpy as np
import pytest

from extras import imported as large
from extras import need
from metamlflow import UntrustedContentError
from metamlflow.errors import InvalidInputError, MissingDependencyError

pytestmark = [
    pytest.mark.full,  # the libraries alone take seconds to load
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # of Keras over torch
]
FEATURES = np.random.default_rng(0).normal(size=(40, 3))
TARGET = (FEATURES[:, 0] > 0).astype(int)
NO_EXTRA = "needs {}, which no extra brings because of its size: python -m pip install {}"


def made(path, *arguments):
    """An object of a class of a large package, which the test has asked for."""
    module, _, kind = path.rpartition(".")
    return getattr(import_module(module), kind)(*arguments)


def torch_or_skip(module="torch"):
    return pytest.importorskip(module, reason=NO_EXTRA.format(module, module))


# --- scikit-learn -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sklearn():
    need("sklearn", "skops")
    return large("sklearn")


def test_a_pipeline_of_scikit_learn_predicts_as_before(client, sklearn):
    scaler, regression = made("sklearn.preprocessing.StandardScaler"), made("sklearn.linear_model.LogisticRegression")
    model = made("sklearn.pipeline.Pipeline", [("scale", scaler), ("fit", regression)]).fit(FEATURES, TARGET)
    saved = client.save("churn/model", model, metadata={"score": model.score(FEATURES, TARGET)})
    assert (saved.saved_as, saved.artifact_type, saved.entries["model.skops"].path) == ("skops", "model", "model.skops")
    found = saved.load()
    assert type(found) is type(model)
    assert (found.predict_proba(FEATURES) == model.predict_proba(FEATURES)).all()


def test_types_that_may_run_code_are_named_and_must_be_trusted_by_name(client, sklearn):
    saved = client.save("model", made("sklearn.preprocessing.FunctionTransformer", os.getcwd))
    with pytest.raises(UntrustedContentError, match=r"posix\.getcwd") as refusal:
        saved.load()
    assert refusal.value.types == ("posix.getcwd",)
    with pytest.raises(UntrustedContentError):
        saved.load(trusted=["posix.system"])
    assert saved.load(trusted=["posix.getcwd"]).func is os.getcwd
    assert saved.load(trusted=True).func is os.getcwd


def test_an_estimator_that_skops_does_not_take_is_refused(client, sklearn):
    with pytest.raises(InvalidInputError, match="nothing was registered"):
        client.save("model", made("sklearn.preprocessing.FunctionTransformer", lambda values: values))


@pytest.mark.parametrize(("module", "version"), [("skops", "0.12.1"), ("skops", "0.9")])
def test_a_version_of_a_library_that_runs_code_of_files_loads_none(client, sklearn, monkeypatch, module, version):
    saved = client.save("model", made("sklearn.preprocessing.StandardScaler").fit(FEATURES))
    monkeypatch.setattr(f"{module}.__version__", version)
    with pytest.raises(MissingDependencyError, match=rf"pip install '{module}>=0\.13'"):
        saved.load()


# --- gradient boosting ------------------------------------------------------------------------------------------------


@pytest.fixture
def xgboost():
    need("xgboost")
    return large("xgboost")


def test_a_booster_of_xgboost_predicts_as_before(client, xgboost):
    data = xgboost.DMatrix(FEATURES, label=TARGET)
    booster = xgboost.train({"objective": "binary:logistic"}, data, 3)
    saved = client.save("model", booster)
    assert (saved.saved_as, [entry.path for entry in saved.entries]) == ("xgboost/Booster", ["model.ubj"])
    assert (saved.load().predict(data) == booster.predict(data)).all()


@pytest.mark.parametrize("kind", ["XGBClassifier", "XGBRegressor"])
def test_estimators_of_xgboost_come_back_as_estimators(client, xgboost, kind):
    model = getattr(xgboost, kind)(n_estimators=3).fit(FEATURES, TARGET)
    saved = client.save("model", model)
    assert saved.saved_as == f"xgboost/{kind}"
    assert type(saved.load()) is type(model)
    assert (saved.load().predict(FEATURES) == model.predict(FEATURES)).all()


def test_a_model_of_xgboost_that_is_not_fitted_or_is_of_another_class_is_refused(client, xgboost):
    with pytest.raises(InvalidInputError, match="Fit it first"):
        client.save("model", xgboost.XGBClassifier())
    own = type("Own", (xgboost.XGBRegressor,), {})(n_estimators=2).fit(FEATURES, TARGET)
    with pytest.raises(InvalidInputError, match="get_booster"):
        client.save("model", own)


@pytest.fixture
def lightgbm():
    need("lightgbm")
    return large("lightgbm")


def test_a_booster_of_lightgbm_predicts_as_before(client, lightgbm):
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(FEATURES, TARGET), 5)
    booster.best_iteration = 2
    saved = client.save("model", booster)
    assert (saved.saved_as, [entry.path for entry in saved.entries]) == ("lightgbm", ["model.txt"])
    assert (saved.load().predict(FEATURES) == booster.predict(FEATURES)).all(), "up to its best iteration"


def test_estimators_of_lightgbm_are_refused_with_the_remedy(client, lightgbm):
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(FEATURES, TARGET)
    with pytest.raises(InvalidInputError, match="booster_"):
        client.save("model", model)
    need("skops")
    saved = client.save("model", model, format="skops")
    with pytest.raises(UntrustedContentError, match=r"lightgbm\.sklearn\.LGBMClassifier"):
        saved.load()
    assert (saved.load(trusted=True).predict(FEATURES) == model.predict(FEATURES)).all()


def test_a_text_that_is_no_model_of_lightgbm_is_refused_before_the_library_reads_it(client):
    with pytest.raises(InvalidInputError, match="not a model of LightGBM"):
        client.register_artifact("x", b"num_class=99999999").load(format="lightgbm")


# --- PyTorch and Keras ------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    torch_or_skip("safetensors")
    return torch_or_skip()


def test_a_state_of_torch_comes_back_tensor_by_tensor(client, torch):
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = {**net.state_dict(), "turned": torch.arange(6).reshape(2, 3).T, "half": torch.ones(2, dtype=torch.bfloat16)}
    saved = client.save("model", state)
    assert (saved.saved_as, [entry.path for entry in saved.entries]) == ("safetensors/torch", ["model.safetensors"])
    found = saved.load()
    assert found.keys() == state.keys()
    assert [
        name for name in state if state[name].dtype != found[name].dtype or not state[name].equal(found[name])
    ] == []
    net.load_state_dict({name: found[name] for name in net.state_dict()})


def test_states_that_are_not_flat_dicts_of_tensors_are_refused_with_the_remedy(client, raw, torch):
    net, tied = torch.nn.Linear(2, 2), torch.ones(3)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    refusals = {
        r"model\.state_dict\(\)": net,
        "flat dict": {"net": net.state_dict()},
        "flatten the keys": optimizer.state_dict(),
        "'epoch'": {"w": tied, "epoch": 3},
        "by text": {0: tied},
        r"clone\(\)": {"a": tied, "b": tied},
        "Save a dict of it": tied,
    }
    for remedy, state in refusals.items():
        with pytest.raises(InvalidInputError, match=remedy):
            client.save("model", state)
    assert raw.keys() == set()


@pytest.fixture
def keras(monkeypatch, torch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return torch_or_skip("keras")


def test_a_model_of_keras_predicts_as_before(client, keras):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    saved = client.save("model", model)
    assert (saved.saved_as, [entry.path for entry in saved.entries]) == ("keras", ["model.keras"])
    assert np.allclose(saved.load().predict(FEATURES, verbose=0), model.predict(FEATURES, verbose=0))


def test_a_model_of_keras_that_holds_code_is_loaded_only_when_trusted(client, keras):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Lambda(lambda values: values * 2)])
    saved = client.save("model", model)
    with pytest.raises(UntrustedContentError, match="safe mode"):
        saved.load()
    assert np.allclose(saved.load(trusted=True).predict(FEATURES, verbose=0), FEATURES * 2)


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_figure_comes_back_as_an_image_which_is_the_same_each_time(client, monkeypatch):
    need("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "agg")
    figure = made("matplotlib.figure.Figure", (1, 1))
    figure.subplots().plot([1, 2])
    saved = client.save("loss", figure)
    assert (saved.saved_as, saved.artifact_type) == ("png/matplotlib", "figure")
    assert saved.load().startswith(b"\x89PNG\r\n")
    assert client.save("loss", figure, if_unchanged="reuse").version == 1


def test_a_figure_of_plotly_says_what_it_needs(client):
    graphs = pytest.importorskip("plotly.graph_objects", reason=NO_EXTRA.format("plotly", "plotly"))
    try:
        assert client.save("loss", graphs.Figure()).load().startswith(b"\x89PNG\r\n")
    except InvalidInputError as error:
        assert "kaleido" in str(error)  # noqa: PT017 (it depends on what is installed)
