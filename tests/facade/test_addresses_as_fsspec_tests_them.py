"""fsspec's own tests of reading, which all its file systems are held to; those of writing do not fit this one."""

from __future__ import annotations

import pytest
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

from metamlflow import MetaMLFlowClient
from metamlflow.filesystem import MetaMLFlowFileSystem


class WrittenByTheTest(MetaMLFlowFileSystem):
    """For the test that makes its scenario with the file system itself: each file it touches is registered."""

    def mkdir(self, path, **_):
        """Nothing to make: folders follow from the files."""

    def touch(self, path, **_):
        name, _, inner = path.partition("@1/")
        MetaMLFlowClient(self.storage_uri).register_artifact(name, {inner: b"", "another": b""})


class OverVersions(AbstractFixtures):
    """Their scenarios, made in a local folder as they make them, and registered as a version."""

    @pytest.fixture
    def fs(self, store_folder):
        return WrittenByTheTest(store_folder)

    @pytest.fixture
    def fs_path(self):
        return "scenario@1"

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def registered(self, client, local_fs, local_join, tmp_path):
        def register(scenario):
            scenario(local_fs, local_join, str(tmp_path / "made"))
            client.register_artifact("scenario", tmp_path / "made")
            return "scenario@1/source"

        return register

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, registered):
        return registered(self._bulk_operations_scenario_0)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, registered):
        return registered(self._glob_edge_cases_files)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, registered):
        return registered(self._dir_and_file_with_same_name_prefix)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, registered):
        return registered(self._10_files_with_hashed_names)


class TestGettingVersions(OverVersions, AbstractGetTests):
    pass
