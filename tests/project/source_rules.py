"""House rules that a parsed source file is held to. Each returns what breaks it, as ``line: what``."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef

KEY_PREFIXES = ("blobs/", "artifacts/", "names/", "edges/", "runs/")
LONGEST_FILE = 300
LONGEST_TEST_FILE = 400
LONGEST_FUNCTION = 60
LONGEST_CALL = 15  # statements

_REASONED_NOQA = re.compile(r"#\s*noqa:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*\s+\(.+\)")


def long_files(source: str) -> list[str]:
    """A file holds one thing, in at most 300 lines of code: docstrings, comments and blank lines do not count."""
    return _longer_than(LONGEST_FILE, source)


def long_test_files(source: str) -> list[str]:
    """A file of tests has one topic, in at most 400 lines of code, counted as those of `long_files`."""
    return _longer_than(LONGEST_TEST_FILE, source)


def long_calls(source: str) -> list[str]:
    """A method of the client does little itself, in at most 15 statements: the client is a list of calls."""
    return [
        f"{method.lineno}: {method.name} has {count} statements"
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, Function)
        and (count := sum(isinstance(part, ast.stmt) for part in ast.walk(method)) - 1) > LONGEST_CALL
    ]


def long_functions(source: str) -> list[str]:
    """A function is at most 60 lines long, its docstring not counted."""
    return [
        f"{node.lineno}: {node.name} has {length} lines without its docstring"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, Function) and (length := _length(node)) > LONGEST_FUNCTION
    ]


def undocumented_names(source: str) -> list[str]:
    """Every public module, class, function and method has a docstring."""
    tree = ast.parse(source)
    # An empty file promises nothing.
    missing = [] if not tree.body or ast.get_docstring(tree) else ["1: the module has no docstring"]
    return missing + [
        f"{node.lineno}: {name} has no docstring"
        for name, node in _public_definitions(tree.body)
        if not ast.get_docstring(node)
    ]


def broad_excepts(source: str) -> list[str]:
    """Nothing catches everything, but with a reasoned noqa, or to raise it again."""
    lines = source.splitlines()
    return [
        f"{handler.lineno}: a broad except without a reason"
        for handler in ast.walk(ast.parse(source))
        if isinstance(handler, ast.ExceptHandler)
        and _is_broad(handler.type)
        and not _raises_again(handler)
        and not _REASONED_NOQA.search(lines[handler.lineno - 1])
    ]


def spelled_keys(source: str) -> list[str]:
    """No string begins like a key of the store; only the layout module spells those."""
    tree = ast.parse(source)
    docstrings = {id(statement.value) for statement in ast.walk(tree) if isinstance(statement, ast.Expr)}
    return [
        f"{node.lineno}: {node.value!r} spells a key outside the layout module"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(KEY_PREFIXES)
        and id(node) not in docstrings
    ]


def _longer_than(longest: int, source: str) -> list[str]:
    if len(source.splitlines()) <= longest:  # most files: to find the tokens takes much longer
        return []
    lines = len(_lines_of_code(source))
    return [f"{lines}: the file has more than {longest} lines of code"] if lines > longest else []


def _lines_of_code(source: str) -> set[int]:
    """The numbers of the lines that hold a token of code."""
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for token in tokens if token.type not in nothing for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None
        if documented:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return lines


def _length(function: Function) -> int:
    length = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return length
    docstring = function.body[0]
    return length - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def _public_definitions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in _statements(body):
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_") or _is_variant(node):
            continue
        yield f"{owner}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from _public_definitions(node.body, f"{owner}{node.name}.")


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module or class, those under an ``if`` or ``try`` included."""
    for node in body:
        yield node
        for branch in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.ExceptHandler):
                yield from _statements(getattr(node, branch, []))


def _is_variant(node: Function | ast.ClassDef) -> bool:
    """Overloads and setters are documented where the function itself, or the property, is."""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    return any(name.endswith(("overload", f"{node.name}.setter", f"{node.name}.deleter")) for name in decorators)


def _is_broad(caught: ast.expr | None) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether the handler raises what it caught, or something else that names it as the cause."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise):
            raised = {ast.unparse(expression) for expression in (node.exc, node.cause) if expression}
            if node.exc is None or (handler.name and handler.name in raised):
                return True
    return False
