"""The conformance suite: one test for each promise of :class:`metamlflow.backend.Backend`.

A third party proves its backend in about ten lines::

    class TestMine(BackendSuite):
        @pytest.fixture
        def backend(self, tmp_path):
            return MyBackend(f"mine://{tmp_path}")
"""

from __future__ import annotations

import pytest

# Before they are imported: a failed assert then shows its values, as in a test file.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{room}"
        for room in ("creating", "putting", "reading", "listing", "deleting", "replacing", "sharing")
    )
)

from metamlflow.testing.suite.creating import Creating  # noqa: E402 (after the registration above)
from metamlflow.testing.suite.deleting import Deleting  # noqa: E402
from metamlflow.testing.suite.listing import Listing  # noqa: E402
from metamlflow.testing.suite.putting import Putting  # noqa: E402
from metamlflow.testing.suite.reading import Reading  # noqa: E402
from metamlflow.testing.suite.replacing import Replacing  # noqa: E402
from metamlflow.testing.suite.sharing import Sharing  # noqa: E402

__all__ = ["BackendSuite"]


class BackendSuite(Creating, Putting, Reading, Listing, Deleting, Replacing, Sharing):
    """Every promise of the seam as a test; subclass it and override the fixture ``backend``.

    :class:`~metamlflow.testing.suite.hooks.SuiteHooks` lists the other hooks, and the reasons to override them.
    """
