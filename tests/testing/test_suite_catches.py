"""The suite is tested by what it is for: each faulty backend fails the test that speaks of its fault, and no other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BROKEN = HERE / "broken_backends.py"

# The tests that name each fault. Others may fail as well (much of the suite looks through listings) and are not run.
CAUGHT = {
    "ChecksThenWrites": ["exactly_one_of_many_threads_creates_a_key"],
    "LocksWithinTheProcess": ["exactly_one_of_many_processes_creates_a_key"],
    "OpensExclusively": ["a_reader_never_sees_a_record_in_part"],
    "SwallowsConflicts": [
        "a_second_create_is_refused_and_leaves_the_first_record",
        "create_is_refused_where_a_blob_lies",
    ],
    "TakesTheSameBytesTwice": ["a_second_create_is_refused_and_leaves_the_first_record"],
    "LeavesPartialObjects": [
        "a_put_whose_source_changed_leaves_nothing",
        "nothing_is_under_the_key_while_a_put_streams",
    ],
    "TellsTempFilesAsUploads": ["an_unfinished_upload_tells_the_key_that_it_is_for"],
    "OverwritesInPut": ["a_put_on_an_existing_key_leaves_its_object_as_it_was"],
    "RefreshesInPut": ["a_put_on_an_existing_key_leaves_its_object_as_it_was"],
    "ReadsAllAtOnce": ["a_put_streams_in_bounded_memory"],
    "HidesSourceErrors": ["a_put_whose_source_changed_leaves_nothing"],
    "BelievesAnySize": ["a_put_whose_source_has_another_size_is_refused"],
    "ReadsFromACache": ["another_instance_reads_at_once_what_was_written"],
    "TellsLocalTime": ["stat_tells_size_and_times_in_utc"],
    "ReadsOneByteTooFew": ["a_range_is_cut_at_the_object_s_end"],
    "ListsFromACache": ["a_listing_shows_at_once_what_another_instance_did"],
    "ListsInNoOrder": ["keys_are_listed_in_the_order_of_their_bytes"],
    "ListsFolderByFolder": ["keys_are_listed_in_the_order_of_their_bytes"],
    "ListsTheFirstPage": ["a_long_listing_is_complete"],
    "ListsWholeFoldersOnly": ["a_prefix_lists_just_the_keys_that_begin_with_it"],
    "DeletesBeforeItReplaces": [
        "a_replacement_that_fails_leaves_the_old_object",
        "whoever_reads_meanwhile_finds_the_old_or_the_new",
    ],
    "ReplacesNothing": ["a_replacement_takes_the_place_of_what_was_there"],
    "DeletesFolders": ["a_folder_is_a_missing_key"],
    "DeletesTheFirstThousand": ["a_long_listing_is_complete"],
    "SharesAPosition": ["threads_share_one_instance"],
}


def run_suite(*arguments, cwd=HERE, env=None):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rA",
            "--tb=no",
            "-p",
            "no:cacheprovider",
            "-n",
            "0",
            *arguments,
        ],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture(scope="module")
def failures():
    """The names of the tests that failed, by backend; of the sound one all tests were run."""
    chosen = [f"{BROKEN}::Test{backend}::test_{test}" for backend, tests in CAUGHT.items() for test in tests]
    run = run_suite(*chosen, f"{BROKEN}::TestSound")
    assert run.returncode == 1, run.stdout + run.stderr
    found = {name: set() for name in re.findall(r"^PASSED \S+::Test(\w+)::", run.stdout, re.MULTILINE)}
    for backend, test in re.findall(r"^(?:FAILED|ERROR) \S+::Test(\w+)::test_(\w+)", run.stdout, re.MULTILINE):
        found.setdefault(backend, set()).add(test)
    return found


@pytest.mark.full
@pytest.mark.parametrize("backend", CAUGHT)
def test_the_suite_names_the_fault_of_a_backend_that(backend, failures):
    assert failures[backend] == set(CAUGHT[backend])


@pytest.mark.full
def test_the_suite_has_nothing_to_say_about_a_sound_backend(failures):
    assert failures["Sound"] == set()


def test_every_broken_backend_is_run():
    declared = set(re.findall(r"^class Test(\w+)", BROKEN.read_text(), re.MULTILINE))
    assert declared == {*CAUGHT, "Sound"}
