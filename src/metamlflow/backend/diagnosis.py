"""What a backend may add for `metamlflow doctor` and `metamlflow policy`: two optional protocols, found by type.

A backend without them is asked what every backend can answer, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol, runtime_checkable

Verdict = Literal["ok", "warning", "failed", "unknown"]
Role = Literal["reader", "writer", "pruner", "collector"]
Create = Callable[[str, bytes], None]
"""As :meth:`Backend.create`."""

CLOCK_WARNING = timedelta(seconds=60)
CLOCK_FAILURE = timedelta(minutes=15)
"""S3 refuses signatures whose time is off by more."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check found.

    Attributes:
        verdict: ``failed`` breaks a store's promises or its work; ``warning`` costs something or may break later;
            ``unknown`` could not be found out.
        found: the facts, without secrets.
        remedy: what to do about it, unless all is well.
    """

    verdict: Verdict
    found: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """A check to be made.

    Attributes:
        name: of the check: lower case and hyphens, and the same in every release.
        look: makes the check; it writes nothing. An error that it raises becomes the finding.
        vital: whether a store can do without what is looked at: if not, an error is a failure. Else it is unknown.
        remote: whether the storage is asked; then it is left out while the storage does not answer.
    """

    name: str
    look: Callable[[], Observation]
    vital: bool = False
    remote: bool = True


@runtime_checkable
class Diagnosable(Protocol):
    """A backend that can be examined more closely than by its verbs."""

    def creators(self) -> Mapping[str, Create]:
        """Return each engine through which records may be created, by its name."""

    def examinations(self, marker: str) -> Iterable[Examination]:
        """Yield what else to look at.

        Args:
            marker: the key of the record that every store has, for what needs a key to look at.
        """


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """Where the things of a store lie below its root: what a policy needs to know of the format.

    Attributes:
        marker: the key of the one record at the root.
        records: prefixes of records that are created once and never overwritten or deleted.
        blobs: the prefix of content, created once and deleted by a collection.
        states: the keys of the records that give versions up and bring them back, ``*`` being any characters.
        collections: the prefix of the records that a collection creates.
        erasable: prefixes of records of which some go with a version that is erased.
        retention: prefixes of the records that say what is to be pruned, and what nobody prunes.
    """

    marker: str
    records: tuple[str, ...]
    blobs: str
    states: str = ""
    collections: str = ""
    erasable: tuple[str, ...] = ()
    retention: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The least that a role needs, in the storage's own terms.

    Attributes:
        text: a policy or commands, to be used as it stands.
        notes: what to know before using it.
        document: the policy as JSON values, where the storage has such.
    """

    text: str
    notes: tuple[str, ...] = ()
    document: Mapping[str, Any] | None = None


@runtime_checkable
class AdvisesAccess(Protocol):
    """A backend that knows what to grant."""

    def access_policy(self, role: Role, keys: StoreKeys) -> AccessPolicy:
        """Return the least that ``role`` needs for this store. Touches no network."""


def installed_versions(*packages: str) -> str:
    """Return the packages with their versions, in one line."""
    return ", ".join(f"{name} {_version(name)}" for name in packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def clock_finding(server: datetime, local: datetime) -> Observation:
    """Compare the server's clock with this machine's; both aware."""
    skew = local - server
    seconds = f"{abs(skew).total_seconds():.0f} s"
    remedy = "Set this machine's clock by NTP (for example `timedatectl set-ntp true`)."
    # The server tells whole seconds, and its answer took some time.
    if abs(skew) <= timedelta(seconds=2):
        return Observation("ok", "this machine's clock agrees with the server's")
    side = "ahead of" if skew > timedelta() else "behind"
    found = f"this machine's clock is {seconds} {side} the server's"
    if abs(skew) > CLOCK_FAILURE:
        return Observation("failed", found, f"{remedy} Requests signed with such a clock are refused.")
    return Observation("warning", found, remedy) if abs(skew) > CLOCK_WARNING else Observation("ok", found)


def overlaps(rule: str, prefix: str) -> bool:
    """Whether a rule for keys that begin with ``rule`` may concern keys that begin with ``prefix``."""
    return rule.startswith(prefix) or prefix.startswith(rule)
