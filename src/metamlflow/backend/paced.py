"""The body of an answer that may arrive by drops: nobody waits longer for it than the number of its bytes allows."""

from __future__ import annotations

import time
from typing import Any

from metamlflow.errors import StorageError

PATIENCE_SECONDS = 8.0
"""For the bytes of an answer, besides a second for each KiB that has arrived."""
_BYTES_PER_SECOND = 1024


class PacedBody:
    """Reads the body of an answer of aiohttp.

    The client's own time limit is for silence alone: a byte a minute would hold a reader for ever.

    Args:
        response: the answer.
        hint: of the error.
        patience: how many seconds the bytes may take besides a second for each KiB; None: 8, infinite: no limit.
    """

    def __init__(
        self,
        response: Any,
        hint: str = "Check the network, and the server or what is on the way to it.",
        patience: float | None = None,
    ) -> None:
        self._response = response
        self._hint = hint
        self._patience = PATIENCE_SECONDS if patience is None else patience
        self._waited = 0.0  # not between the reads: a reader may take its time
        self._received = 0

    async def read(self, most: int = -1) -> bytes:
        """Return at most so many bytes (-1: all), as soon as there are some; none at the end.

        Raises:
            StorageError: they arrive by drops.
        """
        began = time.monotonic()
        data: bytes = await self._response.content.read(most)
        self._waited += time.monotonic() - began
        self._received += len(data)
        late = self._waited > self._patience + self._received / _BYTES_PER_SECOND
        if late and not self._response.content.at_eof():
            self.close()
            raise StorageError(
                f"the answer arrives by drops: {self._received:,} bytes in {self._waited:.0f} s",
                hint=self._hint,
            )
        return data

    def close(self) -> None:
        """Give up what was not read."""
        self._response.close()
