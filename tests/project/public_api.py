"""Describes the public names of modules, one line for each thing that a user could depend on."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, get_origin

_SEEN_DUNDERS = {
    "__call__",
    "__contains__",
    "__enter__",
    "__exit__",
    "__fspath__",
    "__getitem__",
    "__iter__",
    "__len__",
}
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_QUOTED_ANNOTATION = re.compile(r"(: |-> )'([^']*)'")


def describe(modules: Iterable[str]) -> list[str]:
    """What ``__all__`` of each module names, with signatures. A name that is only passed on points to its owner."""
    modules = tuple(modules)
    exports = [(module, name, getattr(import_module(module), name)) for module in modules for name in _all(module)]
    public = {value for _, _, value in exports if isinstance(value, type)}
    lines = []
    for module, name, value in exports:
        owner = getattr(value, "__module__", module)
        if owner != module and owner in modules and name in _all(owner):
            lines.append(f"{module}.{name} = {owner}.{name}")
        elif isinstance(value, type):
            lines += describe_class(f"{module}.{name}", value, public=public - {value}, home=module.partition(".")[0])
        else:
            lines.append(_describe_value(f"{module}.{name}", value))
    return lines


def describe_class(path: str, kind: type, *, public: set[type], home: str) -> list[str]:
    """A class: its public bases, how it is made, and its own members.

    Members of a private base count as its own; those of a public base are described there.

    Args:
        path: what to call the class.
        kind: the class.
        public: classes that are described by themselves.
        home: the top-level package whose classes may bring members; others' are theirs to document.
    """
    bases = [base.__name__ for base in kind.__bases__ if base is not object and not base.__name__.startswith("_")]
    # The constructors of exceptions and protocols are inherited; only one that is written down is a promise.
    made = next((base for base in kind.__mro__ if "__init__" in vars(base) or "__new__" in vars(base)), object)
    own_constructor = made.__module__.partition(".")[0] == home.partition(".")[0] and made not in public
    own_constructor = own_constructor and not getattr(kind, "_is_protocol", False)
    signature = _without_return(_signature(kind)) if own_constructor else ""
    head = f"class {path}{signature}" + (f" [{', '.join(bases)}]" if bases else "")
    members: dict[str, str] = {}
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] != home.partition(".")[0] or base in public:
            continue
        for name, line in _members(path, base):
            members.setdefault(name, line)
    return [head, *(line for _, line in sorted(members.items()))]


def _all(module: str) -> list[str]:
    return sorted(import_module(module).__all__)


def _members(path: str, kind: type) -> Iterator[tuple[str, str]]:
    """The public members that one class defines, by name."""
    annotations = vars(kind).get("__annotations__", {})
    for name in {**annotations, **vars(kind)}:
        if name.startswith("_") and name not in _SEEN_DUNDERS:
            continue
        value = vars(kind).get(name, inspect.Parameter.empty)
        if name not in annotations or inspect.isroutine(value) or isinstance(value, property):
            yield name, _describe_value(f"{path}.{name}", value)
        else:
            # A slot's descriptor stands where a default would; it says nothing.
            plain = value is not inspect.Parameter.empty and not inspect.isdatadescriptor(value)
            annotation = inspect.formatannotation(annotations[name]).strip("'")
            yield name, f"{path}.{name}: {annotation}" + (f" = {_stable(repr(value))}" if plain else "")


def _describe_value(path: str, value: Any) -> str:
    if isinstance(value, property) or hasattr(value, "func"):  # hasattr: functools.cached_property
        getter = value.fget if isinstance(value, property) else value.func
        return f"{path} -> {getter.__annotations__.get('return', '?')}  [property]"
    if isinstance(value, classmethod | staticmethod):
        bound = value.__get__(None, object)
        return f"{path}{_signature(bound)}  [{type(value).__name__}]"
    if callable(value) and get_origin(value) is None:  # an alias of a type is callable, and has no signature
        return f"{path}{_signature(value)}"
    # The version changes with every release; that it is there is the promise.
    return f"{path}: {type(value).__name__}" + ("" if path.endswith("__") else f" = {_stable(repr(value))}")


def _signature(value: Any) -> str:
    # Annotations are strings under `from __future__ import annotations`, and are shown with their quotes.
    return _QUOTED_ANNOTATION.sub(r"\1\2", _stable(str(inspect.signature(value))))


def _without_return(signature: str) -> str:
    return signature.removesuffix(" -> None")


def _stable(text: str) -> str:
    """Text without the addresses that change from run to run."""
    return _ADDRESS.sub("", text)
