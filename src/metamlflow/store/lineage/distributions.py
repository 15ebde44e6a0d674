"""Lists of installed distributions, each stored once."""

from __future__ import annotations

import hashlib
import logging

from metamlflow.errors import AlreadyExistsError, MetaMLFlowError
from metamlflow.format.layout import distributions_key
from metamlflow.store.catalog.records import patiently
from metamlflow.store.catalog.store import Store

_log = logging.getLogger(__name__)
_known: set[tuple[str, str]] = set()


def store_distributions(store: Store, listed: bytes) -> dict[str, str]:
    """Store the list if it is missing, once per process; return the fields of a run that refer to it. Fails no job."""
    digest = hashlib.sha256(listed).hexdigest()
    if (store.url, digest) not in _known:
        try:
            patiently(lambda: store.backend.create(distributions_key(digest), listed), store.clock)
        except AlreadyExistsError:
            pass
        except MetaMLFlowError as error:
            _log.debug("the list of distributions was not stored: %s", error)
            return {}
        _known.add((store.url, digest))
    return {"distributions": f"sha256:{digest}"}
