"""The toy backend keeps every promise of the seam."""

import pytest
from metamlflow.testing import BackendSuite

from metamlflow_toy import open_backend


class TestToyBackend(BackendSuite):
    @pytest.fixture
    def backend(self, tmp_path):
        return open_backend(f"toy://{tmp_path}/store.toy", {})
