"""Models, each in the format of its library that is loaded without running code of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from metamlflow._packages import package
from metamlflow.errors import InvalidInputError, UntrustedContentError
from metamlflow.objects.archives import check_archive
from metamlflow.objects.serializer import Serializer, Trusted, is_of, refused, unknown_variant
from metamlflow.store.transfer.spooling import temp_folder

# The first versions without known ways for a file to run code.
_SKOPS, _KERAS = (0, 13), (3, 12)
_PICKLES = "name another format: format='joblib'. Loading that runs code."


class Skops(Serializer):
    """An estimator of scikit-learn, or of a library that builds on it."""

    name = "skops"
    extension = ".skops"
    artifact_type = "model"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take estimators, pipelines and transformers."""
        return "" if is_of(value, "sklearn.base", "BaseEstimator") else None

    def write(self, value: Any, path: Path) -> None:
        """Write it, and load it once: skops writes some objects, such as lambdas, that it cannot load."""
        skops = package("skops.io", "skops", _SKOPS)
        try:
            skops.dump(value, path)
            skops.load(path, trusted=skops.get_untrusted_types(file=path))
        except (TypeError, ValueError, AttributeError, ImportError, LookupError, RecursionError) as error:
            raise refused(
                value, f"skops does not take it: {error}", f"Leave out what it names, or {_PICKLES}"
            ) from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (it has one kind)
        """Return the estimator, if the caller trusts each type of it that skops does not know to be harmless.

        Raises:
            UntrustedContentError: it has other types; the error names all of them.
        """
        check_archive(path, trusted, ["schema.json"])
        skops = package("skops.io", "skops", _SKOPS)
        unknown = skops.get_untrusted_types(file=path)
        allowed = set(unknown) if trusted is True else set(trusted or ())
        if odd := sorted(set(unknown) - allowed):
            raise UntrustedContentError(
                f"the model has types that may run code: {', '.join(odd)[:2000]}",
                hint="If you trust its author and these types, give them: load(trusted=[...]).",
                types=tuple(odd),
            )
        return skops.load(path, trusted=unknown)


class SafeTensors(Serializer):
    """A flat dict of PyTorch tensors, such as the state of a module. The tensors come back on the CPU."""

    name = "safetensors"
    extension = ".safetensors"
    artifact_type = "model"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take every dict with a tensor in it: what is not flat is refused when it is written, with the remedy."""
        if is_of(value, "torch", "Tensor") or is_of(value, "torch.nn", "Module"):
            return "torch"
        return "torch" if isinstance(value, Mapping) and _holds_tensor(value) else None

    def write(self, value: Any, path: Path) -> None:
        """Write the tensors."""
        if is_of(value, "torch.nn", "Module"):
            raise refused(value, "a module is code and state", "Save its state: model.state_dict().")
        if is_of(value, "torch", "Tensor"):
            raise refused(
                value, "a tensor alone has no name", "Save a dict of it: {'name': tensor}; or tensor.numpy()."
            )
        odd = [
            f"{name!r:.60}"
            for name, part in value.items()
            if type(name) is not str or not is_of(part, "torch", "Tensor")
        ]
        if odd:
            raise refused(
                value,
                f"it is not a flat dict of tensors by text: {', '.join(odd[:9])}",
                "Save nested states, such as an optimizer's, one by one: flatten the keys ('layer.weight'), and keep "
                f"numbers and texts in the metadata; or {_PICKLES}",
            )
        tensors = {name: tensor.detach().contiguous() for name, tensor in value.items()}
        try:
            package("safetensors.torch", "safetensors").save_file(tensors, path, metadata={"format": "pt"})
        except (ValueError, RuntimeError, TypeError, KeyError) as error:
            hint = "Give each tensor its own memory, {name: tensor.clone()}, or leave out those that are tied."
            raise refused(value, f"safetensors does not take it: {error}", hint) from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (tensors run no code)
        """Return the tensors by name."""
        if variant not in {"torch", ""}:
            raise unknown_variant(self, variant)
        return package("safetensors.torch", "safetensors").load_file(path)


class XGBoost(Serializer):
    """A booster of XGBoost, or one of its estimators, as UBJSON."""

    name = "xgboost"
    extension = ".ubj"
    artifact_type = "model"
    runs_code = False
    _KINDS = ("Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")

    def variant_of(self, value: Any) -> str | None:
        """Take boosters and estimators; the variant is the class."""
        return type(value).__name__ if is_of(value, "xgboost", "Booster", "XGBModel") else None

    def write(self, value: Any, path: Path) -> None:
        """Write the model. Parameters of an estimator that only training needs are not part of it."""
        if not any(type(value) is getattr(package("xgboost", "xgboost"), kind, None) for kind in self._KINDS):
            raise refused(value, "XGBoost would load it as another class", f"Save its get_booster(), or {_PICKLES}")
        try:
            value.save_model(path)
        except (ValueError, TypeError) as error:
            raise refused(value, f"XGBoost does not write it: {error}", "Fit it first.") from error

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (trees run no code)
        """Return the model."""
        if variant not in self._KINDS:
            raise unknown_variant(self, variant)
        model = getattr(package("xgboost", "xgboost"), variant)()
        with _named(path, self.extension) as link:
            model.load_model(link)
        return model


class LightGBM(Serializer):
    """A booster of LightGBM, as its text."""

    name = "lightgbm"
    extension = ".txt"
    artifact_type = "model"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take boosters and estimators; the latter are refused when they are written, with the remedy."""
        return "" if is_of(value, "lightgbm", "Booster", "LGBMModel") else None

    def write(self, value: Any, path: Path) -> None:
        """Write the booster, up to its best iteration if it has one: so it predicts as the given one."""
        if is_of(value, "lightgbm", "LGBMModel"):
            hint = f"Save its booster_, whose predictions are raw; format='skops'; or {_PICKLES}"
            raise refused(value, "LightGBM's own format has no place for its estimators", hint)
        value.save_model(path)

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (trees run no code)
        """Return the booster."""
        if not path.read_bytes()[:5] == b"tree\n":
            raise InvalidInputError("the file is not a model of LightGBM")
        return package("lightgbm", "lightgbm").Booster(model_file=path)


class Keras(Serializer):
    """A model of Keras 3, in its own format."""

    name = "keras"
    extension = ".keras"
    artifact_type = "model"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take models."""
        return "" if is_of(value, "keras", "Model") else None

    def write(self, value: Any, path: Path) -> None:
        """Write it."""
        value.save(path)

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (it has one kind)
        """Return the model. In Keras' safe mode it holds no code of its own, unless the caller trusts it.

        Raises:
            InvalidInputError: it is not an archive of Keras 3, such as an older HDF5 file.
            UntrustedContentError: it holds code, or classes that are not registered.
        """
        check_archive(path, trusted, ["config.json", "metadata.json"])
        saving = package("keras", "keras", None if trusted is True else _KERAS).saving
        try:
            # Keras chooses the reader by the name: older formats have readers that know no safe mode.
            with _named(path, self.extension) as link:
                return saving.load_model(link, safe_mode=trusted is not True)
        except JSONDecodeError:  # which is a ValueError
            raise
        except (ValueError, TypeError) as error:
            if trusted is True:
                raise
            raise UntrustedContentError(
                f"Keras does not load it in its safe mode: {error!s:.1000}",
                hint="Register its custom classes with Keras; if it holds code and you trust its author: "
                "load(trusted=True).",
            ) from error


@contextmanager
def _named(path: Path, extension: str) -> Iterator[Path]:
    """Yield a file under a name with an extension, for libraries that take the format from the name."""
    with temp_folder() as folder:
        link = Path(folder, f"model{extension}")
        link.symlink_to(path.absolute())
        yield link


def _holds_tensor(value: Any, depth: int = 0) -> bool:
    if isinstance(value, Mapping | list | tuple) and depth < 9:  # noqa: PLR2004 (deeper ones are refused as JSON)
        parts = value.values() if isinstance(value, Mapping) else value
        return any(_holds_tensor(part, depth + 1) for part in parts)
    return is_of(value, "torch", "Tensor")
