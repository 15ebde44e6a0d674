"""Runs a program and writes what it took: ``python -I -S launch.py RESULT PROGRAM ARGUMENT…``.

The result is one line: wall seconds, CPU seconds (user and system), peak resident bytes, exit status. This stands
between the benchmark and the program since Linux counts the memory of the process that starts a program into the
program's own peak; this one imports next to nothing, so the floor is a few megabytes.
"""

import os
import sys
import time

NOT_STARTED = 127


def main() -> None:
    """Run it, wait for it, write the line."""
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(NOT_STARTED)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with open(result, "w") as file:  # noqa: PTH123 (pathlib would double the memory that this process takes)
        file.write(f"{wall} {usage.ru_utime + usage.ru_stime} {peak} {os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
