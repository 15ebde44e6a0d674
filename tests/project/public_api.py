"""Describes the public names of modules, one line for each thing that a user could depend on."""

from __future__ import annotations

import builtins
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ForwardRef, ParamSpec, TypeVar, get_origin

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
HANDED_OUT = {"Artifact", "Entries", "FileList", "FilesDiff", "Lineage", "Parts", "Run"}
"""Classes that methods return: how they are made is not promised."""
OF_OTHERS = {"Buffer", "nx"}
"""What only type checkers import, and from elsewhere."""
_NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*")
_LITERAL = re.compile(r"'[^']*'")
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


def homeless(modules: Iterable[str]) -> dict[str, str]:
    """The types of this project that public signatures name and no public module does, each with one that names it."""
    modules = tuple(modules)
    public = {name for module in modules for name in _all(module)}
    found: dict[str, str] = {}
    for module in modules:
        for name in _all(module):
            for path, annotation, known in _annotations(f"{module}.{name}", getattr(import_module(module), name)):
                for word in _NAME.findall(_LITERAL.sub("", annotation)):
                    if word not in public and _is_ours(word, known):
                        found.setdefault(word, path)
    return found


def _annotations(path: str, value: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each annotation of what is public of a value, with its path and the names that are known where it stands."""
    if not isinstance(value, type):
        yield from _annotations_of_call(path, value)
        return
    for kind in value.__mro__:
        if kind.__module__.partition(".")[0] != "metamlflow":
            continue
        known = vars(sys.modules[kind.__module__])
        for name, annotation in vars(kind).get("__annotations__", {}).items():
            if not name.startswith("_"):
                yield f"{path}.{name}", _text(annotation), known
        for name, member in vars(kind).items():
            if not name.startswith("_") or name in _SEEN_DUNDERS or (name == "__init__" and _is_made(value)):
                yield from _annotations_of_call(f"{path}.{name}", member)


def _annotations_of_call(path: str, value: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    value = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
    if inspect.isfunction(value):
        value = inspect.unwrap(value)
        for annotation in value.__annotations__.values():
            yield path, _text(annotation), value.__globals__


def _is_ours(word: str, known: Mapping[str, Any]) -> bool:
    """Tell whether a word of an annotation is a type of this project; one that only type checkers import counts."""
    if hasattr(builtins, word) or word in OF_OTHERS:
        return False
    if word not in known:
        return True
    value = known[word]
    if isinstance(value, TypeVar | ParamSpec | ModuleType):
        return False
    home = getattr(value, "__module__", "typing")
    # A Literal, a union and a Callable know no home: theirs is the module that spells them.
    alias = home in {"typing", "types", "collections.abc"} and not hasattr(sys.modules[home], word)
    return alias or home.partition(".")[0] == "metamlflow"


def _is_made(kind: type) -> bool:
    """Tell whether users make objects of a class by calling it."""
    return kind.__name__ not in HANDED_OUT


def _text(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


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
    own_constructor = own_constructor and _is_made(kind)
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
