"""Runs the Python and shell blocks of one Markdown page, in order, in the current folder: ``run_page.py <page>``.

The Python blocks share one namespace, which is the module ``__main__``, as in a notebook. Each shell block is a
``bash -e`` of its own. The first block that fails ends the run, and the traceback shows the page's own lines.
"""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from markdown_blocks import RUN, blocks_of

sys.path.pop(0)


def main() -> None:
    page = Path(sys.argv[1])
    # A fresh module, so that the blocks do not see this script's names, and find their own when they pickle.
    namespace = types.ModuleType("__main__")
    sys.modules["__main__"] = namespace
    sys.argv = [str(page)]
    for block in blocks_of(page.read_text("utf-8")):
        if block.language not in RUN or block.not_run is not None:
            continue
        print(f"{page.name}:{block.line}: {block.language}", flush=True)
        if block.language == "python":
            # Blank lines in front make the line numbers those of the page.
            exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), vars(namespace))
            sys.stdout.flush()
        else:
            subprocess.run(["bash", "-e", "-c", block.code], stdin=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
