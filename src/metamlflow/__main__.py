"""``python -m metamlflow`` is the command ``metamlflow``."""

from __future__ import annotations

from metamlflow.cli import main

if __name__ == "__main__":
    main()
