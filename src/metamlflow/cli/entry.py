"""One invocation of the command line, from its arguments to its exit code. The only place that handles errors."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache

from metamlflow.cli.exit_codes import ExitCode, UsageError, exit_code_of, tell
from metamlflow.cli.output import OutputClosedError, discard_output, output_is_closed, prepare_output, settle_output
from metamlflow.redaction import without_secrets

COMPLETION_VARIABLE = "_METAMLFLOW_COMPLETE"
"""Set by a shell that requests completions."""


def run(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code. Raises only failures of the interpreter itself."""
    if COMPLETION_VARIABLE in os.environ:
        from metamlflow.cli.shell import answered

        return answered(arguments, os.environ[COMPLETION_VARIABLE])
    # Read here and not by the parser, because these flags also apply to the parser's own errors.
    flags = set(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    as_json, debug = "--json" in flags, "--debug" in flags
    try:
        try:
            prepare_output()
            return _command(arguments, debug=debug)
        except OutputClosedError:
            raise
        # The last resort, so that no user sees a traceback; --debug shows it.
        except BaseException as error:  # noqa: BLE001 (errors of backends and plug-ins have no common base)
            return _failed(error, arguments, as_json=as_json, debug=debug)
    except OutputClosedError:
        discard_output()
        return ExitCode.OUTPUT_CLOSED


def _failed(error: BaseException, arguments: Sequence[str], *, as_json: bool, debug: bool) -> int:
    if isinstance(error, SystemExit):
        if not isinstance(error.__context__, BrokenPipeError):
            return error.code if isinstance(error.code, int) else ExitCode.BUG
        error = error.__context__  # typer treats any broken pipe as a closed output
    if isinstance(error, BrokenPipeError) and output_is_closed():
        raise OutputClosedError
    if debug:
        sys.stderr.write(without_secrets("".join(traceback.format_exception(error))))
    tell(error, as_json=as_json, command=_named(arguments) if isinstance(error, UsageError) else "metamlflow")
    settle_output()
    return exit_code_of(error)


def _named(arguments: Sequence[str]) -> str:
    """Return the called command as typed: ``metamlflow pointer register``."""
    path, commands = "metamlflow", getattr(_parser(), "commands", {})
    for word in arguments:
        if word in commands:
            path, commands = f"{path} {word}", getattr(commands[word], "commands", {})
    return path


@cache
def _parser() -> Callable[..., object]:
    """Return what parses and calls the commands: made once, because that takes longer than most of them run."""
    from typer.main import get_command

    from metamlflow.cli.app import app

    return get_command(app)


def _command(arguments: Sequence[str], *, debug: bool) -> int:
    parser = _parser()
    if debug:
        log = logging.StreamHandler(sys.stderr)
        log.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logger = logging.getLogger("metamlflow")
        logger.addHandler(log)
        logger.setLevel(logging.DEBUG)
    code: object = parser(list(arguments), prog_name="metamlflow", standalone_mode=False)
    if code == ExitCode.INTERRUPTED:  # typer's answer to a Ctrl-C; some of its versions raise Abort instead
        raise KeyboardInterrupt
    # Flush here, where a full disk is handled like any error; at the interpreter's exit it would show a traceback.
    sys.stdout.flush()
    return code if isinstance(code, int) else ExitCode.GOOD
