"""The rules that keep content and numbers safe, each broken on its own, and the tests that must notice it.

As a plugin of pytest (``-p broken_rules``) it breaks the rule that the environment variable ``METAMLFLOW_BROKEN_RULE``
names, in the source of one module when that is imported. A test of these rules that cannot fail proves nothing.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

VARIABLE = "METAMLFLOW_BROKEN_RULE"


@dataclass(frozen=True)
class Broken:
    """One rule, broken.

    Attributes:
        module: where the rule is, below ``metamlflow.store``.
        was: the text of the rule, which is there once.
        becomes: what is there instead.
        caught_by: tests of which each must fail.
    """

    module: str
    was: str
    becomes: str
    caught_by: tuple[str, ...]


_PRUNING = "tests/protocol/test_pruning.py::"
_RESTORING = "tests/protocol/test_restoring.py::"
_PROTECTING = "tests/protocol/test_protections.py::"
_ALIASES = "tests/protocol/test_aliases_at_once.py::"
_OTHERS = "tests/protocol/test_states_of_other_manifests.py::"
_AGE = "tests/protocol/test_publish_age.py::"
_LATE = "tests/protocol/test_late_wins.py::"
_ERASED = "tests/protocol/test_erased_versions.py::"
_APART = "tests/retain/test_collections_apart.py::"
_STOP = "tests/retain/test_collections_that_stop.py::"
_COLLECTING = "tests/retain/test_collecting.py::"
_ERASING = "tests/retain/test_erasing.py::"

RULES: dict[str, Broken] = {
    # --- whoever writes looks again
    "a prune does not look again": Broken(
        "retain.prune",
        "elif (reason := self._held_now()) is None:",
        "elif (reason := None) is None:",
        (_PRUNING + "test_what_comes_between_the_look_and_the_record_has_the_version_restored",),
    ),
    "who sets an alias does not look again": Broken(
        "catalog.aliases",
        "if is_live(store, alias.name, status, by_times=False):",
        "if True:",
        (_ALIASES + "test_an_alias_to_a_version_that_was_pruned_meanwhile_is_taken_back_and_says_so",),
    ),
    "who protects does not look again": Broken(
        "catalog.protections",
        "if is_live(store, name, status, by_times=False):",
        "if True:",
        (_PROTECTING + "test_a_prune_that_comes_between_the_look_and_the_record_is_told_and_leaves_no_protection",),
    ),
    "an alias goes back to what it held, live or not": Broken(
        "catalog.aliases",
        "back = before if lives() else None",
        "back = before",
        (_OTHERS + "test_an_alias_goes_back_only_to_a_version_that_is_live",),
    ),
    # --- ages
    "a restore has no deadline": Broken(
        "retain.restore",
        "if self.seconds() >= self.grace * RESTORED_WITHIN:",
        "if False:",
        (
            _RESTORING + "test_whenever_time_passes_no_version_is_restored_without_its_bytes",
            _RESTORING + "test_half_a_grace_later_it_is_refused_with_when_and_what_to_do",
        ),
    ),
    "a restore does not look at the age again before its claim": Broken(
        "retain.restore",
        "age.ask()\n    age.check()\n    sent",
        "sent",
        (_RESTORING + "test_a_restorer_that_sleeps_after_its_looks_sends_nothing",),
    ),
    "an undone prune is no restore": Broken(
        "retain.prune",
        'restore_version(store, name, version, f"undone: {reason}")',
        "number = version_status(store, name, version).state + 1\n            "
        'claim_state(store, name, version, number, "restored", self.candidate.digest)',
        (_PRUNING + "test_an_undoing_that_comes_too_late_leaves_it_pruned_and_names_the_alias",),
    ),
    "a publish does not look at its age before its claim": Broken(
        "publish.publish",
        "return age.seconds() <= self._grace.total_seconds() * 3 / 8",
        "return True",
        (_AGE + "test_a_publish_older_than_half_the_grace_starts_its_checks_again",),
    ),
    "content of any age is relied on": Broken(
        "publish.blobs",
        "elif age < self._trusted_age:",
        "else:",
        (_AGE + "test_content_that_cannot_be_relied_on_is_stored_under_a_key_of_its_own",),
    ),
    "what an earlier attempt knew of content is believed for ever": Broken(
        "publish.blobs",
        "if born <= oldest]",
        "if False]",
        (_AGE + "test_any_time_may_pass_at_any_call_before_the_commit",),
    ),
    "the age of an attempt is that of the machine's clock alone": Broken(
        "publish.lateness",
        "return max(elapsed, (self._last - self._first).total_seconds())",
        "return elapsed",
        (_LATE + "test_a_stopped_clock_is_made_up_for_by_the_storage_s",),
    ),
    "a win that comes late is not looked at": Broken(
        "publish.publish",
        "if age.seconds() <= self._grace.total_seconds() / 2:",
        "if True:",
        (_LATE + "test_content_that_was_collected_meanwhile_is_put_back_under_the_keys_that_the_manifest_names",),
    ),
    "a restore goes by this machine's calendar": Broken(
        "retain.restore",
        "((info.observed or store.clock.now()) - info.modified)",
        "(store.clock.now() - info.modified)",
        (_RESTORING + "test_half_a_grace_later_it_is_refused_with_when_and_what_to_do",),
    ),
    "a collection goes by this machine's calendar": Broken(
        "retain.collecting.moment",
        "Moment(seen.observed or datetime.now(UTC)",
        "Moment(datetime.now(UTC)",
        (_COLLECTING + "test_within_the_grace_nothing_of_it_is_freed_and_the_plan_says_from_when",),
    ),
    # --- what a state, a listing or a tomb says
    "a state hides whatever lies under its number": Broken(
        "catalog.statuses",
        "return record if record.manifest_digest == digest else None",
        "return record",
        (_OTHERS + "test_a_version_is_not_hidden_by_a_state_that_speaks_of_another_manifest",),
    ),
    "a collection takes what a state of another manifest hides": Broken(
        "retain.collecting.judging",
        "if record.manifest_digest != manifest.digest:",
        "if False:",
        (_COLLECTING + "test_a_restored_version_and_one_whose_state_speaks_of_another_manifest_are_kept",),
    ),
    "a listing in no order is believed": Broken(
        "catalog.statuses",
        "return version_status(store, name, status.version).available\n",
        "return True\n",
        ("tests/protocol/test_listings_in_no_order.py::test_a_version_whose_state_a_listing_missed_is_not_relied_on",),
    ),
    "a tomb does not count for the newest number": Broken(
        "catalog.statuses",
        "current = replace(current, erased=True, committed=True, tomb_info=info)",
        "current = replace(current, tomb_info=info)",
        (_ERASED + "test_the_number_of_an_erased_version_is_never_used_again",),
    ),
    "an open claim does not look for a tomb": Broken(
        "publish.idempotency",
        "tomb = read_tomb(self._store, self._name, status.version) if status.erased else None",
        "tomb = None",
        (_ERASED + "test_an_open_claim_on_an_erased_number_never_publishes_as_that_number",),
    ),
    "a late win does not look for a tomb": Broken(
        "publish.lateness",
        "if status.erased:",
        "if False:",
        (_LATE + "test_a_number_that_was_erased_meanwhile_is_lost_and_the_next_one_taken",),
    ),
    # --- erasing and collecting
    "a version is erased as soon as it is pruned": Broken(
        "retain.erasing",
        "if (seen.observed or store.clock.now()) < since:",
        "if False:",
        (_ERASING + "test_a_version_that_was_pruned_too_short_ago_is_refused_with_the_time",),
    ),
    "a collection skips a manifest that was erased under it": Broken(
        "retain.collecting.judging",
        "if tomb is not None and given_up == tomb.manifest_digest:",
        "if tomb is not None:",
        (_STOP + "test_so_does_one_in_its_grace_and_one_that_an_alias_names",),
    ),
    "a collection takes what an alias names": Broken(
        "retain.collecting.judging",
        "reason = None if young else holders.of(version)",
        "reason = None",
        (_COLLECTING + "test_a_version_that_an_alias_names_is_kept_and_reported",),
    ),
    "an unclear deletion keeps nobody waiting": Broken(
        "retain.collecting.series",
        'if self.record is None or self.info is None or (self.record.phase == "ended" and not self.record.unclear):',
        'if self.record is None or self.info is None or self.record.phase == "ended":',
        (_APART + "test_an_unclear_deletion_is_told_recorded_not_repeated_and_waited_for",),
    ),
    "a collection that was cut off keeps nobody waiting": Broken(
        "retain.collecting.series",
        "OPEN = 1 / 8",
        "OPEN = 0",
        (_APART + "test_nothing_of_a_killed_collection_lands_in_the_next_one",),
    ),
    "a collection deletes when its turn is over": Broken(
        "retain.collecting.deletions",
        "if not self._turn.lasts:",
        "if False:",
        (_APART + "test_a_thread_that_was_held_up_until_the_turn_was_over_sends_nothing",),
    ),
}


class _Breaking(importlib.machinery.SourceFileLoader):
    """Loads a module with one rule broken, past what Python has compiled of it before."""

    def get_code(self, fullname: str) -> CodeType:
        rule, path = RULES[os.environ[VARIABLE]], self.get_filename(fullname)
        source = self.get_data(path).decode()
        assert source.count(rule.was) == 1, f"{fullname} has this not once: {rule.was}"
        return compile(source.replace(rule.was, rule.becomes), path, "exec", dont_inherit=True)


class _Finder:
    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if fullname != f"metamlflow.store.{RULES[os.environ[VARIABLE]].module}":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Breaking(fullname, spec.origin)
        return spec


if os.environ.get(VARIABLE):
    sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
