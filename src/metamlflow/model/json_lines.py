"""JSON as digests are made over it: compact, and text as it is."""

from __future__ import annotations

import json

encode_line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Returns a JSON value as text, without its newline."""
