"""The table of exit codes, and how an error is shown."""

from __future__ import annotations

import json
from enum import IntEnum

import typer

from metamlflow.cli.output import coloured, note, printable
from metamlflow.cli.wording import in_the_shell, is_of_a_condition, plain_usage
from metamlflow.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    NotFoundError,
    StorageError,
    StoreFormatError,
)
from metamlflow.redaction import without_secrets

# The base of all errors in how a command is called. typer does not export it, and the package that defines it differs
# between versions of typer.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class ExitCode(IntEnum):
    """The exit codes of ``metamlflow``."""

    GOOD = 0
    CHECK_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    STORAGE = 5
    BUG = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # as a shell says of SIGINT
    OUTPUT_CLOSED = 141  # as a shell says of SIGPIPE


# The first row that matches an error decides.
_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (typer.Abort, ExitCode.INTERRUPTED),
    (UsageError, ExitCode.USAGE),
    (InvalidInputError, ExitCode.USAGE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ConflictError, ExitCode.CONFLICT),
    (IntegrityError, ExitCode.CHECK_FAILED),
    (StoreFormatError, ExitCode.CHECK_FAILED),
    (StorageError, ExitCode.STORAGE),
    (MetaMLFlowError, ExitCode.CHECK_FAILED),
    (OSError, ExitCode.STORAGE),
)


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.BUG)


def tell(error: BaseException, *, as_json: bool, command: str = "metamlflow") -> None:
    """Write an error to stderr, as text or as one JSON document. The hint names ``command``, the called command."""
    message, hint = _message(error), _hint(error, command)
    if as_json:
        note(json.dumps({"error": type(error).__name__, "message": message, "hint": hint}))
        return
    label, remedy = ("\x1b[1;31merror:\x1b[0m", "\x1b[1mhint:\x1b[0m") if coloured(2) else ("error:", "hint:")
    note(f"{label} {_lines(message)}")
    if hint:
        note(f"{remedy} {_lines(hint)}")


def _lines(text: str) -> str:
    return printable(text, keep="\n")


def _message(error: BaseException) -> str:
    match error:
        case KeyboardInterrupt() | typer.Abort():
            message = "interrupted"
        case UsageError():
            message = plain_usage(error.format_message())  # type: ignore[attr-defined]
        case MetaMLFlowError():
            message = in_the_shell(error.message)
        case OSError() if error.strerror:
            message = error.strerror + (f": {error.filename}" if error.filename is not None else "")
        case _:
            message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    # Notes hold further failures, one file per line.
    return without_secrets("\n".join([message, *getattr(error, "__notes__", ())]))


def _hint(error: BaseException, command: str) -> str | None:
    if isinstance(error, UsageError):
        # The parser knows the command of most errors, but not of an option without its value.
        context, option = getattr(error, "ctx", None), getattr(error, "option_name", None)
        if context and context.parent is None and option and command != context.command_path:
            return f"Options stand behind the command: {command} {option} …. See '{command} --help'."
        return f"See '{context.command_path if context else command} --help'."
    if isinstance(error, MetaMLFlowError):
        return error.hint if is_of_a_condition(error.message) else error.hint and in_the_shell(error.hint)
    if exit_code_of(error) is ExitCode.BUG:
        return "This is a fault of metamlflow or of a package below it. --debug shows where it happened."
    return None
