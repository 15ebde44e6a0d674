"""The options of the command line."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from jobs import selection
from jobs.plan import CHOICES, Sizes

MEMORY = Path("/dev/shm")


def parse(description: str, out: Path) -> argparse.Namespace:
    """Return the options of the command line; end with a message if they contradict each other.

    Args:
        description: what the help says first.
        out: where results go unless told otherwise.
    """
    parser = _parser(description, out)
    arguments = parser.parse_args()
    if arguments.server and arguments.endpoint:
        parser.error("--server starts a server, --endpoint names one: give one of them")
    if bool(arguments.endpoint) != bool(arguments.bucket):
        parser.error("--endpoint and --bucket go together")
    if any(arguments.latency) and not arguments.server:
        parser.error("--latency needs a --server, which is started with it")
    return arguments


def _parser(description: str, out: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_argument_group("where")
    where.add_argument("--server", type=Path, metavar="PROGRAM", help="a server to start")
    where.add_argument("--endpoint", metavar="URL", help="a server that is there")
    where.add_argument("--bucket", metavar="NAME", help="its bucket")
    where.add_argument(
        "--control",
        metavar="CONTROL",
        help="the path below which the server tells its counters and is emptied, of all that is in it",
    )
    where.add_argument("--latency", metavar="MS,…", type=_numbers, default=[0], help="W1 and W3 at each of these")
    memory = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    where.add_argument("--workdir", type=selection.absolute, default=memory, help=f"for input and output: {memory}")
    where.add_argument("--out", type=Path, default=out, help="the folder for what is written")
    where.add_argument("--render", type=Path, metavar="FILE", help="only make the page and plot of this raw data again")
    what = parser.add_argument_group("what")
    what.add_argument(
        "--jobs", metavar="JOB,…", type=_some_of(CHOICES), default=list(CHOICES), help=f"of {', '.join(CHOICES)}"
    )
    for field in fields(Sizes):
        what.add_argument(f"--{field.name.replace('_', '-')}", type=int, metavar="N", help=f"default {field.default:,}")
    what.add_argument("--timeout", type=float, default=600.0, metavar="S", help="seconds after which a run has failed")
    who = parser.add_argument_group("who")
    known = f"of {', '.join(selection.NAMES)}"
    who.add_argument(
        "--tools", metavar="NAME,…", type=_some_of(selection.NAMES), default=list(selection.NAMES), help=known
    )
    who.add_argument("--many-tools", metavar="NAME,…", type=_some_of(selection.NAMES), default=["metamlflow", "s5cmd"])
    selection.add_options(who)
    return parser


def _some_of(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := sorted(set(chosen) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return [name for name in known if name in chosen]

    return parse


def _numbers(text: str) -> list[int]:
    return sorted({int(number) for number in text.split(",")})
