"""Which blobs are read: a sample, or one of several parts that together have all. Their digests decide that."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass

from metamlflow.errors import InvalidInputError

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,12})?)\s*%")
_FRACTION = re.compile(r"0?\.[0-9]{1,12}")  # of 1; a whole number could be meant as one, or as a percentage
_BITS = 64
_HEX_DIGITS = _BITS // 4


@dataclass(frozen=True, slots=True)
class BlobSelection:
    """A choice of blobs by their digests. The same digest is always chosen alike.

    Attributes:
        share: the share of all digests, above 0 and up to 1.
        seed: another one chooses another sample.
        part: the number of the part, from 1 on.
        parts: how many there are.
    """

    share: float = 1.0
    seed: int = 0
    part: int = 1
    parts: int = 1

    def has(self, sha256: str) -> bool:
        """Whether a blob with this digest is read."""
        if int(sha256[:_HEX_DIGITS], 16) % self.parts != self.part - 1:
            return False
        if self.share >= 1:
            return True
        drawn = hashlib.sha256(f"{self.seed}:{sha256}".encode()).hexdigest()[:_HEX_DIGITS]
        return bool(int(drawn, 16) < self.share * 2**_BITS)


def selection_of(sample: float | str | None, seed: int, subset: tuple[int, int] | str | None) -> BlobSelection:
    """Return the choice that a caller describes.

    Args:
        sample: a share such as ``0.01``, ``"0.01"`` or ``"1%"``; None for all.
        seed: a whole number.
        subset: number and count of parts, such as ``(1, 7)`` or ``"1/7"``; None for all.

    Raises:
        InvalidInputError: one of them is malformed.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InvalidInputError(f"seed: expected a whole number, not {seed!r:.80}")
    part, parts = (1, 1) if subset is None else _subset(subset)
    return BlobSelection(1.0 if sample is None else _share(sample), seed, part, parts)


def _share(sample: float | str) -> float:
    share = math.nan
    if isinstance(sample, str) and (match := _PERCENT.fullmatch(sample.strip())):
        share = float(match[1]) / 100
    elif not isinstance(sample, bool) and (
        _FRACTION.fullmatch(sample.strip()) if isinstance(sample, str) else isinstance(sample, int | float)
    ):
        share = float(sample)
    if not 0 < share <= 1:
        raise InvalidInputError(f"sample: expected a share such as 0.01 or '1%', not {sample!r:.80}")
    return share


def _subset(subset: object) -> tuple[int, int]:
    given = subset
    if isinstance(subset, str):
        texts = subset.split("/")
        given = tuple(int(text) for text in texts if re.fullmatch(r"[0-9]{1,9}", text))
        given = given if len(given) == len(texts) else None
    if (
        isinstance(given, tuple | list)
        and len(given) == 2  # noqa: PLR2004 (number and count)
        and all(isinstance(number, int) and not isinstance(number, bool) for number in given)
        and 1 <= given[0] <= given[1]
    ):
        return given[0], given[1]
    raise InvalidInputError(f"subset: expected number and count of parts, such as (1, 7) or '1/7', not {subset!r:.80}")
