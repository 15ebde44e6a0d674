"""What decides which versions are kept: the rules of a prune, policies that hold on, and protections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Self

from metamlflow._looks import one_line, utc_text
from metamlflow.errors import InvalidInputError
from metamlflow.model.conditions import Condition
from metamlflow.model.patterns import NamePattern

MAX_KEEP_LAST = 1_000_000_000
MAX_SECONDS = 10**10
_CONDITIONS = 16  # that are kept parsed; each may be long
_DAY = 86_400
_SHOWN = 10
_SECONDS_OF = ((_DAY, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Rules:
    """Which versions may go: those that all of the given rules agree on. Others, and the newest, stay.

    Attributes:
        keep_last: the newest so many live versions of a name stay; None: no such rule.
        older_than: what was written to this store less than so long ago stays, by the storage's clock.
        where: what does not fulfil this condition stays.
        versions: only these numbers may go.
    """

    keep_last: int | None = None
    older_than: timedelta | None = None
    where: str | None = None
    versions: frozenset[int] | None = None

    @classmethod
    def parse(cls, keep_last: object, older_than: object, where: object, versions: object = None) -> Self:
        """Return the rules that a caller gave.

        Raises:
            InvalidInputError: one of them is invalid, or none is given: nothing is pruned by accident.
        """
        if keep_last is not None and (
            not isinstance(keep_last, int) or isinstance(keep_last, bool) or not 1 <= keep_last <= MAX_KEEP_LAST
        ):
            raise InvalidInputError(
                f"keep_last is a whole number from 1 to {MAX_KEEP_LAST:,}, not {keep_last!r:.80}",
                hint="The newest live version of a name always stays.",
            )
        if older_than is not None and (
            not isinstance(older_than, timedelta) or not 0 < older_than.total_seconds() <= MAX_SECONDS
        ):
            raise InvalidInputError(
                f"older_than is a timedelta above 0, such as timedelta(days=90), and of at most "
                f"{MAX_SECONDS // _DAY:,} days, not {older_than!r:.80}"
            )
        if where is not None and not isinstance(where, str):
            raise InvalidInputError(f"where is a text such as 'metadata.accuracy < 0.5', not {type(where).__name__}")
        rules = cls(keep_last, older_than, where, _numbers(versions))
        if rules == cls():
            raise InvalidInputError(
                "no rule says which versions may go, so nothing was pruned",
                hint="Give keep_last, older_than, where= or versions=, and look at the result with dry_run=True first.",
            )
        condition_of(rules)  # a malformed one is refused before anything is asked for
        return rules

    def __str__(self) -> str:
        found = []
        if self.versions is not None:
            more = f" and {len(self.versions) - _SHOWN:,} more" if len(self.versions) > _SHOWN else ""
            found.append("versions=" + ",".join(map(str, sorted(self.versions)[:_SHOWN])) + more)
        if self.keep_last is not None:
            found.append(f"keep_last={self.keep_last}")
        if self.older_than is not None:
            found.append(f"older_than={duration_text(self.older_than)}")
        if self.where is not None:
            found.append(f"where={self.where!r}")
        return ", ".join(found)


def policy_rules(keep_last: object, older_than: object, where: object) -> Rules:
    """Return the rules that a caller gave for a policy. Raises as :meth:`Rules.parse`."""
    if keep_last is None and older_than is None and where is None:
        raise InvalidInputError(
            "no rule says which versions may go, so no policy was set",
            hint="Give keep_last, older_than or where=. Nothing is pruned before the policies are applied.",
        )
    return Rules.parse(keep_last, older_than, where)


def condition_of(rules: Rules) -> Condition | None:
    """Return the condition of rules, parsed.

    Raises:
        InvalidInputError: it is malformed; the message shows the place.
    """
    return None if rules.where is None else _parsed(rules.where)


@lru_cache(maxsize=_CONDITIONS)
def _parsed(where: str) -> Condition:
    """Parse a condition once: a policy asks it of many names."""
    return Condition.parse(where, "where")


def _numbers(versions: Any) -> frozenset[int] | None:
    if versions is None:
        return None
    try:
        found = [versions] if isinstance(versions, int) else list(versions)
    except TypeError:
        found = [None]
    if not found or not all(
        isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in found
    ):
        raise InvalidInputError(
            f"versions are numbers of versions, not {versions!r:.80}", hint="Give a number or several: versions=[3, 4]."
        )
    return frozenset(found)


def duration_text(duration: timedelta) -> str:
    """Return a duration for display: ``90 d``, ``36 h``."""
    seconds = duration.total_seconds()
    for unit, sign in _SECONDS_OF:
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit:,.0f} {sign}"
    return f"{seconds:,.1f} s"


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules that hold on for the names that fit a pattern, until they are changed.

    Attributes:
        pattern: the names.
        rules: which versions may go.
        note: why, if that was said.
        created_at: when it was set, by the clock of whoever set it, in UTC.
        created_by: who set it.
        extra: fields of a later version of this library, which are kept.
    """

    pattern: NamePattern
    rules: Rules
    note: str | None
    created_at: datetime
    created_by: str
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def obstacle(self) -> str | None:
        """Return why this version of the library must not apply it, or None.

        Rules are joined by "and": to leave out one that is not known would prune what that one keeps.
        """
        if self.extra:
            return f"it has a rule that this library does not know: {', '.join(sorted(self.extra))[:200]}"
        try:
            Rules.parse(self.rules.keep_last, self.rules.older_than, self.rules.where)
        except InvalidInputError as error:
            return error.message.partition("\n")[0]
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the policy as JSON values."""
        older = self.rules.older_than
        return {
            "pattern": str(self.pattern),
            "keep_last": self.rules.keep_last,
            "older_than_seconds": None if older is None else older.total_seconds(),
            "where": self.rules.where,
            "note": self.note,
            "created_at": utc_text(self.created_at),
            "created_by": self.created_by,
        }

    def __repr__(self) -> str:
        return f"<Policy {self.pattern}: {one_line(str(self.rules), 200)}>"


@dataclass(frozen=True, slots=True)
class Protection:
    """A version that nobody prunes while this is in force.

    Attributes:
        name: the name of the artifact.
        version: the protected version.
        number: the number of this protection of the version: 1, 2, …
        note: why, if that was said.
        created_at: when, by the clock of whoever protected it, in UTC.
        created_by: who protected it.
    """

    name: str
    version: int
    number: int
    note: str | None
    created_at: datetime
    created_by: str

    @property
    def ref(self) -> str:
        """The protected version, such as ``model@3``."""
        return f"{self.name}@{self.version}"

    def to_json(self) -> dict[str, Any]:
        """Return the protection as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "number": self.number,
            "note": self.note,
            "created_at": utc_text(self.created_at),
            "created_by": self.created_by,
        }

    def __repr__(self) -> str:
        why = f": {one_line(self.note)}" if self.note else ""
        return f"<Protection {self.ref} by {one_line(self.created_by, 30)}{why}>"
