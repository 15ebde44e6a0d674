r"""JSON as documents are written and as digests are made over it. SPEC.md, section 4: compact, and text as it is.

Of characters only those are escaped that JSON does not take as they are: ``"`` and ``\`` with a backslash, and below
U+0020 ``\b \t \n \f \r`` where there is such a letter, else ``\u00`` and two lower-case hex digits.
"""

from __future__ import annotations

import json

encode_line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Returns a JSON value as text, without its newline."""
