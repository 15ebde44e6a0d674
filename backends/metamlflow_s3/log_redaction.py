"""Keeping session tokens and customer keys out of what the clients below log at DEBUG."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from metamlflow.redaction import scrubbed, without_secrets

# botocore logs the requests that it signs and sends, with the token among their headers and the endpoint as it was
# given, which may hold a password; s3fs logs its arguments.
_LOGGERS = (
    "aiobotocore.regions",
    "botocore.auth",
    "botocore.endpoint",
    "botocore.hooks",
    "botocore.parsers",
    "botocore.regions",
    "s3fs",
)
_TOKEN = re.compile(
    r"((?:x-amz-security-token|server-side-encryption-customer-key|SSECustomerKey)"
    r"""(?:['"]?\s*[:=]\s*b?['"]?))[^\s'",&]+""",
    re.IGNORECASE,
)


class _Redaction(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a line that holds a secret; every line goes on."""
        text = record.getMessage()
        hidden = _TOKEN.sub(r"\1…", text)
        hidden = without_secrets(scrubbed(hidden, self.secrets))
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


_redaction = _Redaction()


def hide_in_logs(secrets: Iterable[str]) -> None:
    """Take these, and whatever is said to be a token, out of the log lines of the clients; for good."""
    _redaction.secrets.update(secrets)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_redaction)  # a second time changes nothing
